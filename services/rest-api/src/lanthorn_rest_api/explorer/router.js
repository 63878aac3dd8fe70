/**
 * Hash routing: `#/studies/<id>?since=50`. Also decides where the page scrolls to: to the top on
 * a new page, to where it was when the reader goes back.
 */
import { useEffect, useState } from './html.js';

/**
 * @typedef {object} Route
 * @property {string[]} path decoded segments
 * @property {URLSearchParams} query
 * @property {string} key the whole hash
 */

/** @param {string} hash @returns {Route} */
export function parseHash(hash) {
  const [path, query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const segments = path.split('/').filter(Boolean).map((segment) => {
    try {
      return decodeURIComponent(segment);
    } catch {
      return segment;
    }
  });
  return { path: segments, query: new URLSearchParams(query), key: hash };
}

/**
 * A link to a page; empty query values are left out.
 * @param {string[]} path
 * @param {Record<string, string | number | undefined> | URLSearchParams} [query]
 */
export function link(path, query = {}) {
  const entries = query instanceof URLSearchParams ? [...query] : Object.entries(query);
  const kept = entries.filter(([, value]) => value !== undefined && value !== '' && value !== 0);
  const text = new URLSearchParams(kept.map(([name, value]) => [name, String(value)])).toString();
  return `#/${path.map(encodeURIComponent).join('/')}${text ? `?${text}` : ''}`;
}

/** @type {Map<string, number>} */
const positions = new Map();
let leaving = '';
let forward = true;

/**
 * Goes to another page; `replace` leaves no entry in the history.
 * @param {string} hash
 * @param {{replace?: boolean}} [how]
 */
export function navigate(hash, { replace = false } = {}) {
  forward = true;
  if (!replace) {
    window.location.hash = hash;
    return;
  }
  window.history.replaceState(null, '', hash);
  window.dispatchEvent(new Event('hashchange'));
}

/** The present route; draws the component again when it changes. @returns {Route} */
export function useRoute() {
  const [route, setRoute] = useState(() => parseHash(window.location.hash));
  useEffect(() => {
    leaving = window.location.hash;
    window.history.scrollRestoration = 'manual';
    const change = () => setRoute(parseHash(window.location.hash));
    const remember = () => positions.set(window.location.hash, window.scrollY);
    /** @param {MouseEvent} event */
    const click = (event) => {
      if (event.target instanceof Element && event.target.closest('a[href^="#"]')) forward = true;
    };
    window.addEventListener('hashchange', change);
    window.addEventListener('scroll', remember, { passive: true });
    document.addEventListener('click', click, true);
    return () => {
      window.removeEventListener('hashchange', change);
      window.removeEventListener('scroll', remember);
      document.removeEventListener('click', click, true);
    };
  }, []);
  return route;
}

/**
 * Puts the scroll position right after a page was drawn.
 * @param {Route} route
 */
export function settleScroll(route) {
  const samePage = parseHash(leaving).path.slice(0, 1).join() === 'instances' && route.path[0] === 'instances';
  if (!forward) window.scrollTo(0, positions.get(route.key) ?? 0);
  else if (!samePage) window.scrollTo(0, 0);
  leaving = route.key;
  forward = false;
}
