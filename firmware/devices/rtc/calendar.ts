// Seconds since 1970 to date and back, proleptic Gregorian, no time zones. Pure integer arithmetic:
// days are counted in 400-year eras that start on the first of March, so that the leap day is last.

export type DateTime = {
  readonly year: number;
  readonly month: number; // 1..12
  readonly day: number; // 1..31
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
};

export const DAY_SECONDS = 86_400;
const ERA_DAYS = 146_097;
const ERA_YEARS = 400;
// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS = 719_468;

export function dateTimeOf(epochSeconds: number): DateTime {
  const days = Math.floor(epochSeconds / DAY_SECONDS);
  const inDay = epochSeconds - days * DAY_SECONDS;
  const shifted = days + EPOCH_DAYS;
  const era = Math.floor(shifted / ERA_DAYS);
  const dayOfEra = shifted - era * ERA_DAYS;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  return {
    year: yearOfEra + era * ERA_YEARS + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1,
    hour: Math.floor(inDay / 3600),
    minute: Math.floor(inDay / 60) % 60,
    second: inDay % 60,
  };
}

// Takes also dates that do not exist (31 February): they roll over into the next month.
export function epochSecondsOf(date: DateTime): number {
  const year = date.month <= 2 ? date.year - 1 : date.year;
  const era = Math.floor(year / ERA_YEARS);
  const yearOfEra = year - era * ERA_YEARS;
  const marchMonth = date.month > 2 ? date.month - 3 : date.month + 9;
  const dayOfYear = Math.floor((153 * marchMonth + 2) / 5) + date.day - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  const days = era * ERA_DAYS + dayOfEra - EPOCH_DAYS;
  return days * DAY_SECONDS + date.hour * 3600 + date.minute * 60 + date.second;
}

// 1 = Sunday, as the clock chip counts.
export function dayOfWeek(epochSeconds: number): number {
  return ((((Math.floor(epochSeconds / DAY_SECONDS) + 4) % 7) + 7) % 7) + 1;
}
