/**
 * What is known of the server: its `/system`, its `/statistics`, and whether it answers.
 * After a lost connection it asks again by itself and tells the pages when all is well.
 */
import { ApiError, connection, getStatistics, getSystem } from './api.js';
import { createStore } from './store.js';

const REFRESH_MS = 60_000;
const RETRY_MS = 4_000;

/**
 * @typedef {object} Session
 * @property {any} system answer of /system, null before the first
 * @property {any} statistics answer of /statistics, null before the first
 * @property {'starting' | 'up' | 'down'} state
 * @property {number} recoveries how often the server came back
 */

/** @type {Session} */
const UNKNOWN = { system: null, statistics: null, state: 'starting', recoveries: 0 };
export const session = createStore(UNKNOWN);

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let asking = false;

/** Asks for system and statistics now, and later again. */
export async function refreshSession() {
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  try {
    const [system, statistics] = await Promise.all([session.get().system ?? getSystem(), getStatistics()]);
    const { state, recoveries } = session.get();
    session.update({ system, statistics, state: 'up', recoveries: recoveries + (state === 'down' ? 1 : 0) });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    session.update({ state: 'down' });
  } finally {
    asking = false;
    const wait = session.get().state === 'up' ? REFRESH_MS : RETRY_MS;
    timer = setTimeout(() => (document.hidden ? undefined : refreshSession()), wait);
  }
}

/** Begins to watch the server; called once. */
export function watchSession() {
  connection.addEventListener('lost', () => {
    if (session.get().state !== 'down') refreshSession();
  });
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) refreshSession();
  });
  refreshSession();
}

/** Whether the server permits changes. @param {Session} value */
export const mayChange = (value) => !value.system?.ReadOnly;

/** Whether the server has patient pages. @param {Session} value */
export const hasPatients = (value) => value.system?.PatientLevelEnabled !== false;
