/** Deletes a resource, after asking. */
import { deleteResource } from '../api.js';
import { html, useEffect, useId, useRef, useState } from '../html.js';
import { forgetAnswers } from '../resource.js';
import { navigate } from '../router.js';
import { mayChange, refreshSession, session } from '../session.js';
import { useStore } from '../store.js';
import { Icon } from './icons.js';
import { tell } from './toasts.js';

/** @type {Record<string, import('../api.js').Level>} */
const LEVELS = { Patient: 'patients', Study: 'studies', Series: 'series' };

/**
 * @param {object} props
 * @param {import('../api.js').Level} props.level
 * @param {string} props.id
 * @param {string} props.noun for instance "study"
 * @param {string} props.name what the reader knows it by
 * @param {string} props.extent what goes with it
 * @param {boolean} props.ready false while name and extent are not known yet
 */
export function DeleteButton({ level, id, noun, name, extent, ready }) {
  const [asked, setAsked] = useState(false);
  if (!mayChange(useStore(session))) return null;
  return html`
    <button type="button" class="button button-danger" disabled=${!ready} onClick=${() => setAsked(true)}>
      <${Icon} name="remove" />Delete
    </button>
    ${asked && html`
      <${DeleteDialog} level=${level} id=${id} noun=${noun} name=${name} extent=${extent} onClose=${() => setAsked(false)} />
    `}
  `;
}

/**
 * @param {object} props
 * @param {import('../api.js').Level} props.level
 * @param {string} props.id
 * @param {string} props.noun
 * @param {string} props.name
 * @param {string} props.extent
 * @param {() => void} props.onClose
 */
function DeleteDialog({ level, id, noun, name, extent, onClose }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const titleId = useId();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState('');

  useEffect(() => dialog.current?.showModal(), []);

  const remove = async () => {
    setBusy(true);
    setFailure('');
    try {
      const { RemainingAncestor: left } = await deleteResource(level, id);
      forgetAnswers();
      refreshSession();
      tell(`The ${noun} was deleted.`);
      dialog.current?.close();
      navigate(left ? `#/${LEVELS[left.Type]}/${left.ID}` : `#/${level === 'patients' ? 'patients' : 'studies'}`, { replace: true });
    } catch (error) {
      setBusy(false);
      setFailure(/** @type {Error} */ (error).message);
    }
  };

  return html`
    <dialog class="dialog" ref=${dialog} aria-labelledby=${titleId} onClose=${onClose}
      onCancel=${(/** @type {Event} */ event) => busy && event.preventDefault()}>
      <h2 id=${titleId}>Delete this ${noun}?</h2>
      <p class="dialog-name">${name}</p>
      <p>${extent} This cannot be undone.</p>
      ${failure && html`<p class="failure" role="alert">${failure}</p>`}
      <div class="dialog-actions">
        <button type="button" class="button" autofocus disabled=${busy} onClick=${() => dialog.current?.close()}>Cancel</button>
        <button type="button" class="button button-danger-full" disabled=${busy} onClick=${remove}>
          ${busy ? 'Deleting…' : `Delete ${noun}`}
        </button>
      </div>
    </dialog>
  `;
}
