/** A small picture of an instance: loaded when it comes into view, in a frame that never moves. */
import { previewAddress } from '../api.js';
import { html, useState } from '../html.js';

/** @param {{instance: string | undefined, label: string}} props */
export function Thumbnail({ instance, label }) {
  const [failed, setFailed] = useState('');
  const absent = instance === undefined || failed === instance;
  return html`
    <span class="thumbnail">
      ${absent
        ? html`<span class="thumbnail-absent">No preview</span>`
        : html`
          <img key=${instance} src=${previewAddress(instance)} alt=${label} width="256" height="256"
            loading="lazy" decoding="async" onError=${() => setFailed(instance)} />
        `}
    </span>
  `;
}
