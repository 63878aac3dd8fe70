/** The bar on top: logo, name of the server, the main pages, uploads under way. */
import { html } from '../html.js';
import { hasPatients, mayChange, session } from '../session.js';
import { useStore } from '../store.js';
import { queue, totals } from '../uploads.js';

/** @type {[string, string, string[]][]} page, label, first segments of routes that belong to it */
const PAGES = [
  ['studies', 'Studies', ['studies', 'series', 'instances']],
  ['patients', 'Patients', ['patients']],
  ['search', 'Search', ['search']],
  ['upload', 'Upload', ['upload']],
];

/** @param {{here: string}} props */
export function Header({ here }) {
  const value = useStore(session);
  const uploads = totals(useStore(queue));
  const shown = PAGES.filter(([page]) => (page !== 'patients' || hasPatients(value)) && (page !== 'upload' || mayChange(value)));
  return html`
    <header class="top">
      <a class="skip" href="#main" onClick=${skipToMain}>Skip to content</a>
      <div class="top-row">
        <a class="brand" href="#/studies">
          <img src="images/lantern.svg" width="30" height="30" alt="" />
          <span class="brand-name">Lanthorn</span>
        </a>
        <span class="brand-server"><span>${nameOf(value.system)}</span><span class="brand-detail">${aeLine(value.system)}</span></span>
        <nav class="pages" aria-label="Pages">
          ${shown.map(([page, label, owns]) => html`
            <a key=${page} href=${`#/${page}`} aria-current=${owns.includes(here) ? 'page' : null}>
              ${label}
              ${page === 'upload' && uploads.active && html`
                <span class="pages-badge">${uploads.waiting + uploads.sending}<span class="only-read"> files left</span></span>
              `}
            </a>
          `)}
        </nav>
      </div>
      ${value.state === 'down' && html`
        <p class="top-alert" role="status">No connection to the server. Trying again…</p>
      `}
    </header>
  `;
}

/** The name of the server, unless it only repeats the logo's. @param {any} system answer of /system */
const nameOf = (system) => (system && system.Name !== 'Lanthorn' ? system.Name : '');

/** @param {any} system answer of /system */
const aeLine = (system) => (system?.DicomAet ? `AE title ${system.DicomAet}, port ${system.DicomPort}` : '');

/** The target is focused by hand: its hash would be taken for a page. @param {Event} event */
function skipToMain(event) {
  event.preventDefault();
  document.getElementById('main')?.focus();
}
