/** Labelled values of a resource, and its labels. */
import { html } from '../html.js';

/**
 * Absent values are shown as a dash, so that the frame stays the same from one resource to the next.
 * @param {{facts: [string, string | undefined][]}} props
 */
export function Facts({ facts }) {
  return html`
    <dl class="facts">
      ${facts.map(([label, value]) => html`
        <div key=${label}><dt>${label}</dt><dd>${(value ?? '').trim() || '–'}</dd></div>
      `)}
    </dl>
  `;
}

/** @param {{labels: string[] | undefined}} props */
export function Labels({ labels = [] }) {
  if (labels.length === 0) return null;
  return html`
    <ul class="labels" aria-label="Labels">
      ${labels.map((label) => html`<li key=${label}>${label}</li>`)}
    </ul>
  `;
}

/** One badge per modality of a backslash-separated value. @param {{value: string | undefined}} props */
export function Modalities({ value = '' }) {
  const modalities = value.split('\\').map((one) => one.trim()).filter(Boolean);
  return html`${modalities.map((modality) => html`<span class="modality" key=${modality}>${modality}</span>`)}`;
}
