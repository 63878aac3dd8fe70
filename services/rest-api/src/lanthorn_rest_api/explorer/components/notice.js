/** What a page shows instead of content: nothing found, or something went wrong. */
import { html } from '../html.js';
import { Icon } from './icons.js';

/** @type {Record<import('../api.js').ErrorKind, string>} */
const TITLES = {
  offline: 'The server does not answer',
  timeout: 'The server took too long',
  missing: 'Not found',
  unavailable: 'The server is not ready',
  denied: 'Not permitted',
  failed: 'The server reported an error',
};

/** @type {Partial<Record<import('../api.js').ErrorKind, string>>} */
const ADVICE = {
  offline: 'Check the connection. This page comes back by itself as soon as the server answers.',
  missing: 'It may have been deleted, or never have been here.',
  unavailable: 'It may be starting or busy. Try again in a moment.',
};

/**
 * @param {object} props
 * @param {import('../api.js').ApiError} props.error
 * @param {() => void} props.onRetry
 */
export function ErrorNotice({ error, onRetry }) {
  return html`
    <div class="notice notice-error" role="alert">
      <${Icon} name="warning" />
      <h2>${TITLES[error.kind]}</h2>
      <p>${error.message}</p>
      ${ADVICE[error.kind] && html`<p class="muted">${ADVICE[error.kind]}</p>`}
      <p class="notice-actions">
        <button type="button" class="button" onClick=${onRetry}><${Icon} name="reset" />Try again</button>
        <a class="button button-quiet" href="#/studies">To the studies</a>
      </p>
    </div>
  `;
}

/**
 * @param {object} props
 * @param {string} props.title
 * @param {import('../vendor/preact.js').ComponentChildren} [props.children]
 */
export function EmptyNotice({ title, children }) {
  return html`
    <div class="notice">
      <${Icon} name="empty" />
      <h2>${title}</h2>
      ${children}
    </div>
  `;
}
