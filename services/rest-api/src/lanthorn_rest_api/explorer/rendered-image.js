/**
 * Loads the picture that a viewer wants, one request at a time: while a slider moves, only the
 * newest wish waits, so that neither the server nor the reader drowns in pictures.
 */
import { ApiError, request } from './api.js';
import { useEffect, useRef, useState } from './html.js';

/**
 * @typedef {object} Picture
 * @property {string} shown address whose picture `source` is, '' before the first
 * @property {string} source object URL
 * @property {ApiError | undefined} error of the newest wish
 * @property {boolean} busy
 */

/**
 * @param {string | null} wanted address of the picture; null for none
 * @returns {Picture & {retry: () => void}}
 */
export function useRenderedImage(wanted) {
  const [picture, setPicture] = useState(/** @type {Picture} */ ({ shown: '', source: '', error: undefined, busy: false }));
  const wish = useRef(wanted);
  const loading = useRef(false);
  const source = useRef('');
  const abort = useRef(/** @type {AbortController | null} */ (null));
  const [attempt, setAttempt] = useState(0);
  wish.current = wanted;

  useEffect(() => {
    const controller = new AbortController();
    abort.current = controller;
    return () => {
      controller.abort();
      URL.revokeObjectURL(source.current);
    };
  }, []);

  useEffect(() => {
    if (loading.current) return;
    const load = async () => {
      loading.current = true;
      let last = '';
      while (wish.current && wish.current !== last && !abort.current?.signal.aborted) {
        last = wish.current;
        setPicture((held) => ({ ...held, busy: true }));
        try {
          const response = await request(last, { signal: abort.current?.signal, headers: { Accept: 'image/png' } });
          const url = URL.createObjectURL(await response.blob());
          const before = source.current;
          source.current = url;
          setPicture({ shown: last, source: url, error: undefined, busy: false });
          if (before) setTimeout(() => URL.revokeObjectURL(before), 1000);
        } catch (error) {
          if (abort.current?.signal.aborted) break;
          if (!(error instanceof ApiError)) throw error;
          setPicture((held) => ({ ...held, error, busy: false }));
        }
      }
      loading.current = false;
    };
    load();
  }, [wanted, attempt]);

  return { ...picture, retry: () => setAttempt((count) => count + 1) };
}
