/** The line at the bottom: what the server holds, who it is, what it is not. */
import { bytes, number } from '../format.js';
import { html } from '../html.js';
import { session } from '../session.js';
import { useStore } from '../store.js';

export function Footer() {
  const { statistics, system } = useStore(session);
  return html`
    <footer class="bottom"><div class="bottom-row">
      <dl class="counts" aria-label="Contents of the server">
        ${[
          ['Patients', statistics && number(statistics.CountPatients)],
          ['Studies', statistics && number(statistics.CountStudies)],
          ['Series', statistics && number(statistics.CountSeries)],
          ['Instances', statistics && number(statistics.CountInstances)],
          ['On disk', statistics && bytes(Number(statistics.TotalDiskSize))],
        ].map(([label, value]) => html`<div key=${label}><dt>${label}</dt><dd>${value ?? '–'}</dd></div>`)}
      </dl>
      <p class="bottom-server muted">
        ${system ? `Orthanc REST ${system.Version}` : '\u00a0'}
      </p>
      <p class="disclaimer">Not a medical device: not for diagnosis or treatment.</p>
    </div></footer>
  `;
}
