/** Grey bars in the place of a list that is being loaded, of the height it will have. */
import { html } from '../html.js';

/** @param {{rows: number}} props */
export function Skeleton({ rows }) {
  return html`
    <div class="skeleton" role="status">
      <span class="only-read">Loading…</span>
      ${Array.from({ length: rows }, (_, row) => html`<div class="skeleton-row" key=${row}></div>`)}
    </div>
  `;
}

/** @param {{tiles: number}} props */
export function TileSkeleton({ tiles }) {
  return html`
    <div class="tiles" role="status">
      <span class="only-read">Loading…</span>
      ${Array.from({ length: tiles }, (_, tile) => html`
        <div class="tile" key=${tile}><span class="thumbnail"></span><span class="tile-text skeleton-text"></span></div>
      `)}
    </div>
  `;
}
