/**
 * Loads what a page shows. The last answers are kept, so that going back shows the page at once
 * while a fresh answer is on its way.
 */
import { ApiError } from './api.js';
import { useCallback, useEffect, useRef, useState } from './html.js';
import { session } from './session.js';
import { useStore } from './store.js';

const KEPT_ANSWERS = 60;

/** @type {Map<string, unknown>} */
const answers = new Map();

/** @param {string} key @param {unknown} data */
function keep(key, data) {
  answers.delete(key);
  answers.set(key, data);
  if (answers.size > KEPT_ANSWERS) answers.delete(/** @type {string} */ (answers.keys().next().value));
}

/** Forgets all answers: something was added or deleted. */
export const forgetAnswers = () => answers.clear();

/**
 * @template T
 * @typedef {object} Loaded
 * @property {T | undefined} data
 * @property {ApiError | undefined} error
 * @property {boolean} busy an answer is awaited
 * @property {boolean} stale `data` belongs to the key before
 * @property {() => void} reload
 */

/**
 * @template T
 * @param {string | null} key names the answer; null loads nothing
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {{keepPrevious?: boolean}} [how] show the data of the key before until the new is there
 * @returns {Loaded<T>}
 */
export function useResource(key, load, { keepPrevious = false } = {}) {
  const [held, setHeld] = useState(/** @type {{key: string | null, data?: T, error?: ApiError}} */ ({ key: null }));
  const [attempt, setAttempt] = useState(0);
  const { recoveries } = useStore(session);
  const loader = useRef(load);
  loader.current = load;

  useEffect(() => {
    if (key === null) return undefined;
    const abort = new AbortController();
    loader.current(abort.signal).then(
      (data) => {
        if (abort.signal.aborted) return;
        keep(key, data);
        setHeld({ key, data });
      },
      (error) => {
        if (abort.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        answers.delete(key);
        setHeld({ key, error });
      },
    );
    return () => abort.abort();
  }, [key, attempt]);

  const reload = useCallback(() => {
    setHeld({ key: null });
    setAttempt((count) => count + 1);
  }, []);
  useEffect(() => {
    if (held.error) reload();
  }, [recoveries]);

  if (key !== null && held.key === key) {
    return { data: held.data, error: held.error, busy: false, stale: false, reload };
  }
  const remembered = key === null ? undefined : /** @type {T | undefined} */ (answers.get(key));
  if (remembered !== undefined) return { data: remembered, error: undefined, busy: true, stale: false, reload };
  const previous = keepPrevious && key !== null ? held.data : undefined;
  return { data: previous, error: undefined, busy: key !== null, stale: previous !== undefined, reload };
}
