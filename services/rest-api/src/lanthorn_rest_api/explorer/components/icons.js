/** Small line icons, drawn by us; decoration only, so hidden from screen readers. */
import { html } from '../html.js';

/** @type {Record<string, string>} path data on a 20 by 20 grid */
const PATHS = {
  back: 'M12.5 4.5 7 10l5.5 5.5',
  forward: 'M7.5 4.5 13 10l-5.5 5.5',
  first: 'M14.5 4.5 9 10l5.5 5.5M5.5 4.5v11',
  last: 'M5.5 4.5 11 10l-5.5 5.5M14.5 4.5v11',
  search: 'M8.8 14.1a5.3 5.3 0 1 0 0-10.6 5.3 5.3 0 0 0 0 10.6ZM12.8 12.8l4 4',
  upload: 'M10 13V3.5M6 7.3l4-4 4 4M3.5 12.5v3.5h13v-3.5',
  download: 'M10 3.5V13M6 9.2l4 4 4-4M3.5 12.5v3.5h13v-3.5',
  remove: 'M4 5.5h12M8 5.5V3.5h4v2M5.5 5.5l.8 11h7.4l.8-11M8.5 8.5v5M11.5 8.5v5',
  play: 'M6.5 4.2v11.6l9-5.8z',
  pause: 'M6.5 4.5v11M13.5 4.5v11',
  warning: 'M10 3 2.5 16.5h15zM10 8v4M10 14v.3',
  empty: 'M3.5 11.5 6 4.5h8l2.5 7v4h-13zM3.5 11.5H7.5l1 2h3l1-2h4',
  tag: 'M3.5 3.5h6l7 7-6 6-7-7zM6.7 6.7v.1',
  reset: 'M4.5 10a5.5 5.5 0 1 0 1.8-4.1M4.2 3.8v3h3',
  invert: 'M10 3.5a6.5 6.5 0 1 0 0 13zM10 3.5a6.5 6.5 0 0 1 0 13',
  document: 'M5.5 2.5h6l3 3v12h-9zM11.5 2.5v3h3M7.5 9.5h5M7.5 12.5h5',
};

/** @param {{name: string}} props */
export function Icon({ name }) {
  return html`
    <svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false">
      <path d=${PATHS[name]} />
    </svg>
  `;
}
