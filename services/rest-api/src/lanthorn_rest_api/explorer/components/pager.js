/** Steps through a list that is never loaded whole. */
import { number } from '../format.js';
import { html } from '../html.js';
import { link } from '../router.js';
import { Icon } from './icons.js';

/**
 * @param {object} props
 * @param {import('../router.js').Route} props.route the page; its `since` is replaced
 * @param {string} props.what name of the things listed
 * @param {number} props.since
 * @param {number} props.size entries of a full page
 * @param {number} props.shown entries on this page
 * @param {boolean} props.more whether others follow
 * @param {number | null | undefined} props.total when the server can count
 */
export function Pager({ route, what, since, size, shown, more, total }) {
  /** @param {number} start */
  const to = (start) => {
    const query = new URLSearchParams(route.query);
    query.delete('since');
    if (start > 0) query.set('since', String(start));
    return link(route.path, query);
  };
  const lastStart = typeof total === 'number' ? Math.max(0, Math.floor((total - 1) / size) * size) : null;
  const known = typeof total === 'number' ? ` of ${number(total)}` : '';
  return html`
    <nav class="pager" aria-label=${`Pages of ${what}`}>
      <p role="status">
        ${shown > 0 ? `${what[0].toUpperCase()}${what.slice(1)} ${number(since + 1)}–${number(since + shown)}${known}` : '\u00a0'}
      </p>
      <div class="pager-steps">
        <${Step} label="First page" icon="first" href=${since > 0 ? to(0) : null} />
        <${Step} label="Previous page" icon="back" href=${since > 0 ? to(Math.max(0, since - size)) : null} />
        <${Step} label="Next page" icon="forward" href=${more ? to(since + size) : null} />
        ${lastStart !== null && html`<${Step} label="Last page" icon="last" href=${more && since < lastStart ? to(lastStart) : null} />`}
      </div>
    </nav>
  `;
}

/** @param {{label: string, icon: string, href: string | null}} props */
function Step({ label, icon, href }) {
  return html`
    <a class="button button-icon" href=${href} aria-label=${label} title=${label}
      role="link" aria-disabled=${href === null ? 'true' : null}><${Icon} name=${icon} /></a>
  `;
}

/** The `since` of a route, 0 when absent or nonsense. @param {import('../router.js').Route} route */
export function sinceOf(route) {
  const value = Number(route.query.get('since'));
  return Number.isInteger(value) && value > 0 ? value : 0;
}
