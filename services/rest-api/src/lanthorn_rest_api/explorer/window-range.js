/** Which windows make sense for an instance: from its tags, without its pixels. Pure functions. */
import { first } from './format.js';

/** @typedef {import('./api.js').TagNode} TagNode */
/** @typedef {{center: number, width: number}} Voi Window Center (0028,1050), Window Width (0028,1051) */
/**
 * @typedef {object} PixelFacts
 * @property {boolean} pictured has Rows and Columns
 * @property {boolean} grey MONOCHROME1 or MONOCHROME2: has a window
 * @property {number} frames
 * @property {number} rows
 * @property {number} columns
 * @property {string} modality
 * @property {Voi} initial the window that the server uses unasked
 * @property {number} low least Modality LUT output worth a slider
 * @property {number} high
 */

/** @type {[string, Voi][]} customary windows in Hounsfield units */
export const CT_PRESETS = [
  ['Soft tissue', { center: 40, width: 400 }],
  ['Lung', { center: -600, width: 1500 }],
  ['Bone', { center: 450, width: 1800 }],
  ['Brain', { center: 40, width: 80 }],
];

const CT_LOW = -1024;
const CT_HIGH = 3071;

/**
 * @param {Record<string, TagNode>} tags
 * @returns {PixelFacts}
 */
export function pixelFacts(tags) {
  /** @param {string} tag */
  const text = (tag) => (typeof tags[tag]?.Value === 'string' ? /** @type {string} */ (tags[tag].Value) : '');
  /** @param {string} tag @param {number} fallback */
  const number = (tag, fallback) => {
    const value = Number.parseFloat(first(text(tag)));
    return Number.isFinite(value) ? value : fallback;
  };
  const rows = number('0028,0010', 0);
  const columns = number('0028,0011', 0);
  const bits = Math.min(number('0028,0101', 8), 32);
  const slope = number('0028,1053', 1);
  const intercept = number('0028,1052', 0);
  const modality = text('0008,0060').trim();
  const signed = number('0028,0103', 0) === 1;
  const ends = [signed ? -(2 ** (bits - 1)) : 0, signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1]
    .map((value) => value * slope + intercept)
    .sort((one, other) => one - other);
  const [low, high] = modality === 'CT' ? [Math.max(ends[0], CT_LOW), Math.min(ends[1], CT_HIGH)] : ends;
  return {
    pictured: rows > 0 && columns > 0,
    grey: text('0028,0004').startsWith('MONOCHROME'),
    frames: Math.max(1, Math.floor(number('0028,0008', 1))),
    rows,
    columns,
    modality,
    initial: { center: number('0028,1050', 2 ** (bits - 1)), width: Math.max(1, number('0028,1051', 2 ** bits)) },
    low,
    high: high > low ? high : low + 1,
  };
}
