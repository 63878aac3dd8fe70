/**
 * Sends files to `POST /instances`: a few at a time, with progress, in the background of
 * whatever page is open. XMLHttpRequest, because fetch tells nothing of bytes sent.
 */
import { errorFromAnswer, uploadAddress } from './api.js';
import { forgetAnswers } from './resource.js';
import { refreshSession } from './session.js';
import { createStore } from './store.js';

const AT_A_TIME = 3;
const REDRAW_MS = 100;

/** Files that systems and DICOM media put beside images; sending them would only bring errors. */
const NOT_IMAGES = new Set(['dicomdir', 'thumbs.db', 'desktop.ini', '.ds_store']);

/**
 * @typedef {object} Upload
 * @property {number} number
 * @property {File} file
 * @property {string} name path within the chosen folder, else file name
 * @property {'waiting' | 'sending' | 'stored' | 'known' | 'failed'} state
 * @property {number} sent bytes
 * @property {string} message what the server said
 * @property {number} instances how many the file held
 */
/**
 * @typedef {object} Queue
 * @property {Upload[]} uploads
 * @property {number} skipped
 * @property {string[]} studies identifiers of studies received
 */

/** @type {Queue} */
const EMPTY = { uploads: [], skipped: 0, studies: [] };
export const queue = createStore(EMPTY);

/** @type {Map<number, XMLHttpRequest>} */
const running = new Map();
/** @type {Upload[]} */
let waiting = [];
let counter = 0;
let redrawing = false;

/** Many events come per second: draw them together. */
function redrawSoon() {
  if (redrawing) return;
  redrawing = true;
  setTimeout(() => {
    redrawing = false;
    queue.update({});
  }, REDRAW_MS);
}

/** @param {Upload} upload @param {string} body answer to a successful POST */
function readAnswer(upload, body) {
  /** @type {{Status?: string, ParentStudy?: string}[]} */
  let stored = [];
  try {
    const answer = JSON.parse(body);
    stored = Array.isArray(answer) ? answer : [answer];
  } catch {
    upload.message = 'The server gave no account of what it stored.';
  }
  const refused = stored.filter(({ Status }) => !['Success', 'AlreadyStored'].includes(Status ?? ''));
  upload.instances = stored.length - refused.length;
  const studies = new Set(queue.get().studies);
  for (const { ParentStudy } of stored) if (ParentStudy) studies.add(ParentStudy);
  queue.update({ studies: [...studies] });
  if (stored.length === 0 || refused.length > 0) {
    upload.state = 'failed';
    const status = [...new Set(refused.map(({ Status }) => Status))].join(', ');
    upload.message ||= refused.length ? `${refused.length} of ${stored.length} not stored: ${status}` : 'No DICOM file was found in it.';
  } else {
    upload.state = stored.every(({ Status }) => Status === 'AlreadyStored') ? 'known' : 'stored';
  }
}

/** @param {Upload} upload */
function send(upload) {
  const request = new XMLHttpRequest();
  running.set(upload.number, request);
  upload.state = 'sending';
  request.open('POST', uploadAddress());
  request.setRequestHeader('Content-Type', /\.zip$/i.test(upload.name) ? 'application/zip' : 'application/dicom');
  request.upload.onprogress = ({ loaded }) => {
    upload.sent = Math.min(loaded, upload.file.size);
    redrawSoon();
  };
  request.onload = () => {
    if (request.status >= 200 && request.status < 300) readAnswer(upload, request.responseText);
    else fail(upload, errorFromAnswer(request.status, request.responseText).message);
  };
  request.onerror = () => fail(upload, 'The file could not be read, or the server does not answer.');
  request.onabort = () => fail(upload, 'Stopped.');
  request.onloadend = () => {
    running.delete(upload.number);
    upload.sent = upload.file.size;
    if (!sendNext()) {
      forgetAnswers();
      refreshSession();
    }
    redrawSoon();
  };
  request.send(upload.file);
}

/** @param {Upload} upload @param {string} message */
function fail(upload, message) {
  upload.state = 'failed';
  upload.message = message;
}

/** Keeps the lines busy; tells whether anything is left to do. */
function sendNext() {
  while (running.size < AT_A_TIME && waiting.length > 0) send(/** @type {Upload} */ (waiting.shift()));
  return running.size > 0;
}

/**
 * Puts files into the queue.
 * @param {{file: File, name: string}[]} files
 */
export function addFiles(files) {
  const wanted = files.filter(({ file }) => !NOT_IMAGES.has(file.name.toLowerCase()));
  /** @type {Upload[]} */
  const added = wanted.map(({ file, name }) => {
    counter += 1;
    return { number: counter, file, name, state: 'waiting', sent: 0, message: '', instances: 0 };
  });
  const { uploads, skipped } = queue.get();
  queue.update({ uploads: [...uploads, ...added], skipped: skipped + files.length - wanted.length });
  waiting.push(...added);
  sendNext();
}

/** Stops what is under way and what waits. */
export function stopUploads() {
  for (const upload of waiting) fail(upload, 'Stopped.');
  waiting = [];
  for (const request of [...running.values()]) request.abort();
  redrawSoon();
}

/** Sends again what failed. */
export function retryFailed() {
  for (const upload of queue.get().uploads) {
    if (upload.state !== 'failed') continue;
    Object.assign(upload, { state: 'waiting', sent: 0, message: '' });
    waiting.push(upload);
  }
  sendNext();
  redrawSoon();
}

/** Empties the list; only when nothing is under way. */
export function clearUploads() {
  if (running.size === 0) queue.update(EMPTY);
}

/**
 * Sums for the progress bar.
 * @param {Queue} value
 */
export function totals({ uploads }) {
  const counts = { waiting: 0, sending: 0, stored: 0, known: 0, failed: 0 };
  let sent = 0;
  let size = 0;
  for (const upload of uploads) {
    counts[upload.state] += 1;
    sent += upload.sent;
    size += upload.file.size;
  }
  return { ...counts, sent, size, files: uploads.length, active: counts.waiting + counts.sending > 0 };
}

/**
 * All files of a drop, folders walked through.
 * @param {DataTransfer} transfer
 * @returns {Promise<{file: File, name: string}[]>}
 */
export async function filesOfDrop(transfer) {
  /** @type {{file: File, name: string}[]} */
  const files = [];
  /** @type {FileSystemEntry[]} */
  const entries = [];
  for (const item of transfer.items) {
    const entry = item.webkitGetAsEntry();
    const file = entry ? null : item.getAsFile();
    if (entry) entries.push(entry);
    else if (file) files.push({ file, name: file.name });
  }
  /** @param {FileSystemEntry} entry */
  const walk = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((done, failed) => /** @type {FileSystemFileEntry} */ (entry).file(done, failed));
      files.push({ file, name: entry.fullPath.replace(/^\//, '') });
      return;
    }
    const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
    for (;;) {
      /** @type {FileSystemEntry[]} */
      const children = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (children.length === 0) return;
      for (const child of children) await walk(child);
    }
  };
  for (const entry of entries) await walk(entry);
  return files;
}

window.addEventListener('beforeunload', (event) => {
  if (running.size > 0) event.preventDefault();
});
