// The part of Jinja that templates for Home Assistant are made of: text around `{{ expression }}`, with
// inline if, and/or/not, comparisons, tests, a few filters, attributes. Values as Python has them: what is
// undefined prints as nothing and fails when something of it is asked for; None, True and False print so.
// Anything else is an error: a template of ours must not use it.

export class TemplateError extends Error {}

/** Jinja's Undefined. */
const UNDEFINED = Symbol('undefined');
type Value = string | number | boolean | null | object | typeof UNDEFINED;
type Scope = Readonly<Record<string, unknown>>;

export function render(template: string, scope: Scope): string {
  if (/\{%|\{#/.test(template)) throw new TemplateError('statements and comments are not known');
  return template.replace(/\{\{(.*?)\}\}/gs, (_, inside: string) => print(evaluate(inside, scope)));
}

function evaluate(text: string, scope: Scope): Value {
  return new Expression(text, scope).value();
}

/** str() of Python. */
function print(value: Value): string {
  if (value === UNDEFINED) return '';
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'object') throw new TemplateError('prints no lists or dictionaries');
  return String(value);
}

/** bool() of Python. */
function truth(value: Value): boolean {
  if (value === UNDEFINED || value === null) return false;
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === 'object') return Object.keys(value).length > 0;
  return Boolean(value);
}

const TOKEN =
  /\s*(?:(?<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?<number>\d+(?:\.\d+)?)|(?<name>[A-Za-z_]\w*)|(?<sign>==|!=|<=|>=|[<>|.()[\],]))/y;

/** Recursive descent; the branches that are not taken are read and not valued, as in Jinja. */
class Expression {
  private readonly tokens: string[] = [];
  private readonly scope: Scope;
  private at = 0;

  constructor(text: string, scope: Scope) {
    this.scope = scope;
    const rest = text.trim();
    TOKEN.lastIndex = 0;
    while (TOKEN.lastIndex < rest.length) {
      const from = TOKEN.lastIndex;
      const found = TOKEN.exec(rest);
      if (found === null) throw new TemplateError(`not understood: ${rest.slice(from)}`);
      this.tokens.push(found[0].trim());
    }
  }

  value(): Value {
    const value = this.choice()();
    if (this.at < this.tokens.length) throw new TemplateError(`not understood: ${this.next}`);
    return value;
  }

  private get next(): string | undefined {
    return this.tokens[this.at];
  }

  private take(...wanted: string[]): boolean {
    if (this.next === undefined || !wanted.includes(this.next)) return false;
    this.at += 1;
    return true;
  }

  private must(token: string): void {
    if (!this.take(token)) throw new TemplateError(`${token} is missing before ${this.next}`);
  }

  private choice(): () => Value {
    const then = this.or();
    if (!this.take('if')) return then;
    const condition = this.or();
    const otherwise = this.take('else') ? this.choice() : () => UNDEFINED as Value;
    return () => (truth(condition()) ? then() : otherwise());
  }

  private or(): () => Value {
    let left = this.and();
    while (this.take('or')) {
      const [first, second] = [left, this.and()];
      left = () => {
        const value = first();
        return truth(value) ? value : second();
      };
    }
    return left;
  }

  private and(): () => Value {
    let left = this.not();
    while (this.take('and')) {
      const [first, second] = [left, this.not()];
      left = () => {
        const value = first();
        return truth(value) ? second() : value;
      };
    }
    return left;
  }

  private not(): () => Value {
    if (!this.take('not')) return this.comparison();
    const of = this.not();
    return () => !truth(of());
  }

  private comparison(): () => Value {
    const left = this.filtered();
    const sign = ['==', '!=', '<', '>', '<=', '>='].find((one) => this.take(one));
    if (sign !== undefined) {
      const right = this.filtered();
      return () => compare(sign, left(), right());
    }
    if (!this.take('is')) return left;
    const isNot = this.take('not');
    const test = this.name();
    return () => is(test, left()) !== isNot;
  }

  private filtered(): () => Value {
    let value = this.postfix();
    while (this.take('|')) {
      const [of, filter] = [value, this.name()];
      const args: (() => Value)[] = [];
      if (this.take('(') && !this.take(')')) {
        do args.push(this.choice());
        while (this.take(','));
        this.must(')');
      }
      value = () => filtered(filter, of(), args);
    }
    return value;
  }

  private postfix(): () => Value {
    let value = this.primary();
    for (;;) {
      const of = value;
      if (this.take('.')) {
        const name = this.name();
        value = () => attribute(of(), name);
      } else if (this.take('[')) {
        const key = this.choice();
        this.must(']');
        value = () => attribute(of(), String(key()));
      } else return value;
    }
  }

  private primary(): () => Value {
    if (this.take('(')) {
      const inside = this.choice();
      this.must(')');
      return inside;
    }
    const token = this.next;
    if (token === undefined) throw new TemplateError('the expression ends too early');
    this.at += 1;
    if (/^['"]/.test(token)) return () => token.slice(1, -1).replace(/\\(.)/g, '$1');
    if (/^\d/.test(token)) return () => Number(token);
    if (!/^[A-Za-z_]/.test(token)) throw new TemplateError(`not understood: ${token}`);
    const known = new Map<string, Value>([
      ...(['true', 'True'] as const).map((one) => [one, true] as const),
      ...(['false', 'False'] as const).map((one) => [one, false] as const),
      ...(['none', 'None'] as const).map((one) => [one, null] as const),
    ]);
    return () => known.get(token) ?? (known.has(token) ? null : of(this.scope, token));
  }

  private name(): string {
    const name = this.next;
    if (name === undefined || !/^[A-Za-z_]/.test(name))
      throw new TemplateError('a name is missing');
    this.at += 1;
    return name;
  }
}

function of(scope: object, name: string): Value {
  return Object.hasOwn(scope, name) ? ((scope as Record<string, Value>)[name] as Value) : UNDEFINED;
}

function attribute(value: Value, name: string): Value {
  if (value === UNDEFINED) throw new TemplateError(`something undefined has no ${name}`);
  return typeof value === 'object' && value !== null ? of(value, name) : UNDEFINED;
}

function compare(sign: string, left: Value, right: Value): boolean {
  // In Python a truth value is a number.
  const [a, b] = [left, right].map((one) => (typeof one === 'boolean' ? Number(one) : one));
  if (sign === '==') return a === b;
  if (sign === '!=') return a !== b;
  const fit = typeof a === typeof b && (typeof a === 'number' || typeof a === 'string');
  if (!fit) throw new TemplateError(`cannot compare by ${sign}`);
  const [x, y] = [a as string, b as string];
  return { '<': x < y, '>': x > y, '<=': x <= y, '>=': x >= y }[sign] as boolean;
}

function is(test: string, value: Value): boolean {
  const tests: Readonly<Record<string, boolean>> = {
    defined: value !== UNDEFINED,
    undefined: value === UNDEFINED,
    none: value === null,
    true: value === true,
    false: value === false,
  };
  const answer = tests[test];
  if (answer === undefined) throw new TemplateError(`no test ${test}`);
  return answer;
}

function filtered(filter: string, value: Value, args: readonly (() => Value)[]): Value {
  const [first = () => '' as Value, second = () => false as Value] = args;
  if (filter === 'default' || filter === 'd')
    return value === UNDEFINED || (truth(second()) && !truth(value)) ? first() : value;
  if (filter === 'lower') return print(value).toLowerCase();
  if (filter === 'upper') return print(value).toUpperCase();
  if (filter === 'iif') {
    const [yes = () => true as Value, no = () => false as Value] = args;
    return truth(value) ? yes() : no();
  }
  throw new TemplateError(`no filter ${filter}`);
}
