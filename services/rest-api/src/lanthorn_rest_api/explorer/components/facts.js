/** Labelled values of a resource, and its labels. */
import { html } from '../html.js';

/**
 * Absent values are shown as a dash, so that nothing moves when they arrive.
 * @param {{facts: [string, string | undefined][], labels?: string[]}} props
 */
export function Facts({ facts, labels = [] }) {
  return html`
    <dl class="facts">
      ${facts.map(([label, value]) => html`
        <div key=${label}><dt>${label}</dt><dd>${(value ?? '').trim() || '–'}</dd></div>
      `)}
      <div><dt>Labels</dt><dd>${labels.length > 0 ? html`<${Labels} labels=${labels} />` : '–'}</dd></div>
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
