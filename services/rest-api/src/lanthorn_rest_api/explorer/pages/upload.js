/** Upload of files, folders and ZIP archives, with progress and the server's word on failures. */
import { bytes, number, plural } from '../format.js';
import { html, useId, useState } from '../html.js';
import { link } from '../router.js';
import { mayChange, session } from '../session.js';
import { useStore } from '../store.js';
import { addFiles, clearUploads, filesOfDrop, queue, retryFailed, stopUploads, totals } from '../uploads.js';
import { Icon } from '../components/icons.js';
import { EmptyNotice } from '../components/notice.js';
import { PageHead } from '../components/page-head.js';

const SHOWN = { failed: 100, sending: 10, done: 10 };
const SHOWN_STUDIES = 6;

const STATES = { waiting: 'Waiting', sending: 'Sending', stored: 'Stored', known: 'Already here', failed: 'Failed' };

export function UploadPage() {
  const allowed = mayChange(useStore(session));
  const value = useStore(queue);
  if (!allowed) {
    return html`<${PageHead} title="Upload" /><${EmptyNotice} title="This server is read-only"><p>It takes no files.</p><//>`;
  }
  return html`
    <${PageHead} title="Upload" />
    <${DropZone} />
    ${(value.uploads.length > 0 || value.skipped > 0) && html`<${Progress} value=${value} />`}
  `;
}

function DropZone() {
  const [over, setOver] = useState(false);
  const filesId = useId();
  const folderId = useId();
  /** @param {Event} event */
  const chosen = (event) => {
    const input = /** @type {HTMLInputElement} */ (event.currentTarget);
    addFiles([...(input.files ?? [])].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
    input.value = '';
  };
  /** @param {DragEvent} event */
  const drop = async (event) => {
    event.preventDefault();
    setOver(false);
    if (event.dataTransfer) addFiles(await filesOfDrop(event.dataTransfer));
  };
  return html`
    <div class=${over ? 'drop is-over' : 'drop'} onDragOver=${(/** @type {DragEvent} */ event) => { event.preventDefault(); setOver(true); }}
      onDragLeave=${() => setOver(false)} onDrop=${drop}>
      <${Icon} name="upload" />
      <p class="drop-title">Drop DICOM files, folders or ZIP archives here</p>
      <div class="drop-actions">
        <span class="picker">
          <input class="only-read" id=${filesId} type="file" multiple onChange=${chosen} />
          <label class="button button-primary" for=${filesId}>Choose files</label>
        </span>
        <span class="picker">
          <input class="only-read" id=${folderId} type="file" webkitdirectory multiple onChange=${chosen} />
          <label class="button" for=${folderId}>Choose a folder</label>
        </span>
      </div>
    </div>
  `;
}

/** @param {{value: import('../uploads.js').Queue}} props */
function Progress({ value }) {
  const sums = totals(value);
  const done = sums.stored + sums.known;
  const stored = value.uploads.reduce((sum, upload) => sum + upload.instances, 0);
  return html`
    <section class="panel upload-progress" aria-label="Progress">
      <div class="upload-head">
        <h2>${sums.active ? `Sending ${plural(sums.files, 'file')}` : `${plural(done, 'file')} received`}</h2>
        <div class="actions">
          ${sums.active && html`<button type="button" class="button" onClick=${stopUploads}>Stop</button>`}
          ${!sums.active && sums.failed > 0 && html`<button type="button" class="button" onClick=${retryFailed}>Send failed ones again</button>`}
          ${!sums.active && html`<button type="button" class="button button-quiet" onClick=${clearUploads}>Clear list</button>`}
        </div>
      </div>
      <progress class="bar" aria-label="All files" max=${Math.max(sums.size, 1)} value=${sums.size === 0 ? 1 : sums.sent}></progress>
      <p class="upload-sums" role="status">
        ${bytes(sums.sent)} of ${bytes(sums.size)}
        ${` · ${plural(stored, 'instance')} stored`}
        ${sums.known > 0 && ` · ${number(sums.known)} already here`}
        ${sums.failed > 0 && html`<strong class="failure"> · ${number(sums.failed)} failed</strong>`}
        ${value.skipped > 0 && ` · ${number(value.skipped)} left out (no images)`}
      </p>
      <${StudyLinks} studies=${value.studies} />
      <${UploadRows} uploads=${value.uploads} />
    </section>
  `;
}

/** @param {{studies: string[]}} props */
function StudyLinks({ studies }) {
  if (studies.length === 0) return null;
  return html`
    <p class="upload-studies">
      ${studies.slice(0, SHOWN_STUDIES).map((id, index) => html`
        <a class="button" key=${id} href=${link(['studies', id])}>${studies.length === 1 ? 'Open the study' : `Open study ${index + 1}`}</a>
      `)}
      ${studies.length > SHOWN_STUDIES && html`<a class="button" href="#/studies?order=received">All last received</a>`}
    </p>
  `;
}

/** Thousands of files may be under way: failures and what moves are shown, the rest is counted. @param {{uploads: import('../uploads.js').Upload[]}} props */
function UploadRows({ uploads }) {
  const failed = uploads.filter(({ state }) => state === 'failed').slice(0, SHOWN.failed);
  const sending = uploads.filter(({ state }) => state === 'sending').slice(0, SHOWN.sending);
  const done = uploads.filter(({ state }) => state === 'stored' || state === 'known').slice(-SHOWN.done).reverse();
  const rows = [...failed, ...sending, ...done];
  const others = uploads.length - rows.length;
  return html`
    <ul class="upload-rows">
      ${rows.map((upload) => html`
        <li key=${upload.number} class=${`upload-row is-${upload.state}`}>
          <span class="upload-name">${upload.name}</span>
          <span class="upload-state">
            ${upload.state === 'sending'
              ? html`<progress class="bar" aria-label=${`Sending ${upload.name}`} max=${Math.max(upload.file.size, 1)} value=${upload.sent}></progress>`
              : STATES[upload.state]}
          </span>
          ${upload.message && html`<span class="upload-message">${upload.message}</span>`}
        </li>
      `)}
    </ul>
    ${others > 0 && html`<p class="muted">and ${plural(others, 'other file')}</p>`}
  `;
}
