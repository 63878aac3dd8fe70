/**
 * Talks to the server: public Orthanc REST routes only, relative to the folder above this page,
 * so that the explorer works below any prefix. Every failure becomes an `ApiError`.
 */

/** @typedef {'patients' | 'studies' | 'series' | 'instances'} Level */
/** @typedef {Record<string, string>} Tags */
/**
 * @typedef {object} Resource
 * @property {string} ID
 * @property {'Patient' | 'Study' | 'Series' | 'Instance'} Type
 * @property {Tags} MainDicomTags
 * @property {Tags} [PatientMainDicomTags]
 * @property {Tags} [RequestedTags]
 * @property {string[]} [Labels]
 * @property {string[]} [Studies]
 * @property {string[]} [Series]
 * @property {string[]} [Instances]
 * @property {string} [ParentPatient]
 * @property {string} [ParentStudy]
 * @property {string} [ParentSeries]
 * @property {string} [LastUpdate]
 * @property {boolean} [IsStable]
 * @property {string} [Status]
 * @property {number | null} [ExpectedNumberOfInstances]
 * @property {number | null} [IndexInSeries]
 * @property {number} [FileSize]
 */
/**
 * @typedef {object} TagNode
 * @property {string} Name
 * @property {string} Type
 * @property {string | null | Record<string, TagNode>[]} Value
 */
/**
 * @typedef {object} FindRequest
 * @property {'Patient' | 'Study' | 'Series' | 'Instance'} level
 * @property {Tags} [query]
 * @property {string[]} [labels]
 * @property {Record<string, string>} [parent] for instance `{ParentSeries: id}`
 * @property {number} [since]
 * @property {number} [limit]
 * @property {{Type: string, Key: string, Direction: string}[]} [orderBy]
 * @property {string[]} [requestedTags]
 */
/** @typedef {'offline' | 'timeout' | 'missing' | 'unavailable' | 'denied' | 'failed'} ErrorKind */

const ROOT = new URL('../', document.baseURI);
const PATIENCE_MS = 60_000;

/** Tells `session.js` that a request got no answer at all. */
export const connection = new EventTarget();

/** A request that did not succeed; `message` is fit for the reader. */
export class ApiError extends Error {
  /**
   * @param {ErrorKind} kind
   * @param {number} status HTTP status, 0 when there was no answer
   * @param {string} message
   */
  constructor(kind, status, message) {
    super(message);
    this.kind = kind;
    this.status = status;
  }
}

/**
 * The address of a route.
 * @param {string[]} segments path below the server's root, one entry per segment
 * @param {Record<string, string | number | boolean>} [query]
 */
export function address(segments, query = {}) {
  const url = new URL(segments.map(encodeURIComponent).join('/'), ROOT);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, String(value));
  return url.href;
}

/**
 * What went wrong, from status and body: Orthanc's JSON errors, problem+json, or nothing at all.
 * @param {number} status
 * @param {string} body
 */
export function errorFromAnswer(status, body) {
  let said = '';
  try {
    const json = JSON.parse(body);
    said = json.Details || json.detail || json.Message || json.title || json.OrthancError || '';
  } catch {
    if (body.length < 200 && !body.trimStart().startsWith('<')) said = body.trim();
  }
  /** @type {[ErrorKind, string]} */
  const [kind, fallback] =
    status === 404 ? ['missing', 'The server does not know this resource.']
    : [502, 503, 504].includes(status) ? ['unavailable', 'The server cannot answer right now.']
    : status === 401 || status === 403 ? ['denied', 'The server does not permit this.']
    : ['failed', `The server answered with status ${status}.`];
  return new ApiError(kind, status, said || fallback);
}

/**
 * Sends one request and gives its successful answer.
 * @param {string} url
 * @param {RequestInit} [init]
 * @returns {Promise<Response>}
 */
export async function request(url, init = {}) {
  const clock = new AbortController();
  const timer = setTimeout(() => clock.abort(), PATIENCE_MS);
  const giveUp = () => clock.abort();
  init.signal?.addEventListener('abort', giveUp, { once: true });
  try {
    const response = await fetch(url, { ...init, signal: clock.signal });
    if (!response.ok) throw errorFromAnswer(response.status, await response.text());
    return response;
  } catch (error) {
    if (error instanceof ApiError || init.signal?.aborted) throw error;
    connection.dispatchEvent(new Event('lost'));
    if (clock.signal.aborted) throw new ApiError('timeout', 0, 'The server took too long to answer.');
    throw new ApiError('offline', 0, 'The server does not answer.');
  } finally {
    clearTimeout(timer);
    init.signal?.removeEventListener('abort', giveUp);
  }
}

/**
 * @param {string} url
 * @param {AbortSignal} [signal]
 */
async function getJson(url, signal) {
  const response = await request(url, { signal, headers: { Accept: 'application/json' } });
  return response.json();
}

/**
 * @param {string[]} segments
 * @param {unknown} body
 * @param {AbortSignal} [signal]
 */
async function postJson(segments, body, signal) {
  const response = await request(address(segments), {
    method: 'POST',
    signal,
    body: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
  });
  return response.json();
}

/** @param {FindRequest} find */
function findBody({ level, query = {}, labels = [], parent = {} }) {
  const body = { Level: level, Query: query, ...parent };
  return labels.length ? { ...body, Labels: labels, LabelsConstraint: 'All' } : body;
}

/** @param {AbortSignal} [signal] @returns {Promise<any>} */
export const getSystem = (signal) => getJson(address(['system']), signal);

/** @param {AbortSignal} [signal] @returns {Promise<any>} */
export const getStatistics = (signal) => getJson(address(['statistics']), signal);

/**
 * One window of matching resources, expanded.
 * @param {FindRequest} find
 * @param {AbortSignal} [signal]
 * @returns {Promise<Resource[]>}
 */
export function findResources(find, signal) {
  const { since = 0, limit = 0, orderBy = [], requestedTags = [] } = find;
  const body = { ...findBody(find), Expand: true, Since: since, Limit: limit, OrderBy: orderBy };
  return postJson(['tools', 'find'], requestedTags.length ? { ...body, RequestedTags: requestedTags } : body, signal);
}

/**
 * Identifiers of all matching resources: meant for the instances of one series.
 * @param {FindRequest} find
 * @param {AbortSignal} [signal]
 * @returns {Promise<string[]>}
 */
export function findIdentifiers(find, signal) {
  return postJson(['tools', 'find'], { ...findBody(find), OrderBy: find.orderBy ?? [] }, signal);
}

/**
 * How many resources match; null when the server has no such route.
 * @param {FindRequest} find
 * @param {AbortSignal} [signal]
 * @returns {Promise<number | null>}
 */
export async function countResources(find, signal) {
  try {
    return (await postJson(['tools', 'count-resources'], findBody(find), signal)).Count;
  } catch (error) {
    if (error instanceof ApiError && (error.kind === 'missing' || error.status === 405)) return null;
    throw error;
  }
}

/** @param {Level} level @param {string} id @param {AbortSignal} [signal] @returns {Promise<Resource>} */
export const getResource = (level, id, signal) => getJson(address([level, id]), signal);

/** @param {string} study @param {AbortSignal} [signal] @returns {Promise<Resource[]>} */
export const getSeriesOfStudy = (study, signal) => getJson(address(['studies', study, 'series']), signal);

/** @param {string} instance @param {AbortSignal} [signal] @returns {Promise<Record<string, TagNode>>} */
export const getTags = (instance, signal) => getJson(address(['instances', instance, 'tags']), signal);

/** @param {Level} level @param {string} id @param {AbortSignal} [signal] @returns {Promise<Record<string, string>>} */
export const getMetadata = (level, id, signal) => getJson(address([level, id, 'metadata'], { expand: true }), signal);

/**
 * Deletes a resource and tells which of its ancestors is left.
 * @param {Level} level
 * @param {string} id
 * @returns {Promise<{RemainingAncestor: {ID: string, Type: string} | null}>}
 */
export async function deleteResource(level, id) {
  const response = await request(address([level, id]), { method: 'DELETE' });
  return response.json();
}

/** A small picture; what cannot be drawn becomes the server's own "unsupported" picture. @param {string} instance */
export const previewAddress = (instance) => address(['instances', instance, 'preview'], { returnUnsupportedImage: true });

/**
 * @param {string} instance
 * @param {number} frame counted from 0
 * @param {{center: number, width: number} | null} voi null asks for the window of the file
 */
export function renderedAddress(instance, frame, voi) {
  const query = voi ? { 'window-center': voi.center, 'window-width': voi.width } : undefined;
  return address(['instances', instance, 'frames', String(frame), 'rendered'], query);
}

/** @param {string} instance */
export const fileAddress = (instance) => address(['instances', instance, 'file']);

/** @param {string} instance */
export const pdfAddress = (instance) => address(['instances', instance, 'pdf']);

/** @param {Level} level @param {string} id */
export const archiveAddress = (level, id) => address([level, id, 'archive']);

/** Where files are sent to. */
export const uploadAddress = () => address(['instances']);
