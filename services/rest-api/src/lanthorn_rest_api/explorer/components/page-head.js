/** Head of a page: the way to it, its title, its actions. Sets the title of the window as well. */
import { html, useEffect } from '../html.js';

/**
 * @param {object} props
 * @param {string} props.title
 * @param {string} [props.subtitle]
 * @param {[string, string][]} [props.trail] pages above: label, link
 * @param {import('../vendor/preact.js').ComponentChildren} [props.children] actions
 */
export function PageHead({ title, subtitle, trail = [], children }) {
  useEffect(() => {
    document.title = `${title} · Lanthorn`;
  }, [title]);
  return html`
    <div class="page-head">
      ${trail.length > 0 && html`
        <nav class="trail" aria-label="Breadcrumb">
          <ol>
            ${trail.map(([label, href]) => html`<li key=${href}><a href=${href}>${label}</a></li>`)}
          </ol>
        </nav>
      `}
      <div class="page-head-row">
        <div>
          <h1>${title}</h1>
          ${subtitle !== undefined && html`<p class="subtitle">${subtitle || '\u00a0'}</p>`}
        </div>
        ${children && html`<div class="actions">${children}</div>`}
      </div>
    </div>
  `;
}
