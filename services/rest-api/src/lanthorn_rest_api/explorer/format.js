/**
 * Turns DICOM values into words for the reader. Pure functions; what cannot be read is shown as
 * it is.
 */

/**
 * Person Name (PS3.5 Section 6.2.1): `Doe^Jane^^Dr=...` becomes "Doe, Jane (Dr)", further
 * component groups (ideographic, phonetic) follow.
 * @param {string | undefined} value
 */
export function personName(value) {
  const groups = (value ?? '').split('=').map((group) => {
    const [family = '', given = '', middle = '', prefix = '', suffix = ''] = group.split('^').map((part) => part.trim());
    const names = [family, [given, middle].filter(Boolean).join(' ')].filter(Boolean).join(', ');
    const titles = [prefix, suffix].filter(Boolean).join(', ');
    return titles ? `${names} (${titles})` : names;
  });
  return groups.filter(Boolean).join(' · ');
}

/** DA (or the old `yyyy.mm.dd`): "2004-01-19". @param {string | undefined} value */
export function date(value) {
  const text = (value ?? '').trim();
  const match = /^(\d{4})\.?(\d{2})\.?(\d{2})$/.exec(text);
  return match ? `${match[1]}-${match[2]}-${match[3]}` : text;
}

/** TM: "07:27". @param {string | undefined} value */
export function time(value) {
  const text = (value ?? '').trim();
  const match = /^(\d{2}):?(\d{2})/.exec(text);
  return match ? `${match[1]}:${match[2]}` : text;
}

/** LastUpdate and other UTC stamps `yyyymmddThhmmss` in local time. @param {string | undefined} value */
export function moment(value) {
  const match = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})/.exec(value ?? '');
  if (!match) return value ?? '';
  const [year, month, day, hours, minutes, seconds] = match.slice(1).map(Number);
  const local = new Date(Date.UTC(year, month - 1, day, hours, minutes, seconds));
  /** @param {number} number */
  const two = (number) => String(number).padStart(2, '0');
  return `${local.getFullYear()}-${two(local.getMonth() + 1)}-${two(local.getDate())} `
    + `${two(local.getHours())}:${two(local.getMinutes())}`;
}

/** @param {number} size in bytes */
export function bytes(size) {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let unit = 0;
  let value = size;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** @param {number} value */
export const number = (value) => value.toLocaleString('en-US');

/** @param {number} count @param {string} one @param {string} [many] */
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** @param {string | undefined} value CS */
export const sex = (value) => ({ M: 'Male', F: 'Female', O: 'Other' })[(value ?? '').trim()] ?? (value ?? '').trim();

/** The first of a multiple value. @param {string | undefined} value */
export const first = (value) => (value ?? '').split('\\')[0].trim();

/** The name of a patient, or words for its absence. @param {import('./api.js').Tags | undefined} tags */
export function patientTitle(tags) {
  return personName(tags?.PatientName) || (tags?.PatientID ?? '').trim() || 'Unnamed patient';
}
