/** A link that saves a file; the server names it unless a name is given. */
import { html } from '../html.js';
import { Icon } from './icons.js';

/** @param {{href: string, label: string, name?: string}} props */
export function DownloadLink({ href, label, name = '' }) {
  return html`<a class="button" href=${href} download=${name}><${Icon} name="download" />${label}</a>`;
}
