// Whether a version of Node is within the range of an `engines` field. All the forms that occur in the lock
// file, and no more: "^20.17.0 || >=22.9.0", "14 >=14.17", ">= 10.x". Old syntax: see prepare.cjs.
'use strict';

const COMPARATOR = /^(\^|>=|)(\d+)(?:\.(\d+|x))?(?:\.(\d+|x))?$/;

/** Throws on a form it does not know. */
function satisfies(version, range) {
  const own = version.split('.').map(Number);
  return range.split('||').some((part) =>
    part
      .trim()
      .replace(/(\^|>=)\s+/g, '$1')
      .split(/\s+/)
      .every((comparator) => fits(own, comparator)),
  );
}

function fits(own, comparator) {
  const found = COMPARATOR.exec(comparator);
  if (found === null) throw new Error(`not a range of versions: ${comparator}`);
  const sign = found[1];
  const given = found.slice(2).filter((part) => part !== undefined && part !== 'x');
  const wanted = [0, 1, 2].map((n) => Number(given[n] || 0));
  // Without a sign as many parts as are given must be equal.
  if (sign === '') return given.every((part, n) => own[n] === Number(part));
  if (sign === '^' && own[0] !== wanted[0]) return false;
  const n = [0, 1, 2].find((at) => own[at] !== wanted[at]);
  return n === undefined || own[n] > wanted[n];
}

module.exports = { satisfies };
