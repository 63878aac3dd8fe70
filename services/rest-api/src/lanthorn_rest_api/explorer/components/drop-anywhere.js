/** Files dropped on any page are uploaded, not opened by the browser. */
import { html, useEffect, useState } from '../html.js';
import { navigate } from '../router.js';
import { mayChange, session } from '../session.js';
import { addFiles, filesOfDrop } from '../uploads.js';

export function DropAnywhere() {
  const [over, setOver] = useState(false);
  useEffect(() => {
    /** @param {DragEvent} event */
    const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files');
    /** @param {DragEvent} event */
    const enter = (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      setOver(mayChange(session.get()));
    };
    /** @param {DragEvent} event */
    const leave = (event) => {
      if (event.relatedTarget === null) setOver(false);
    };
    /** @param {DragEvent} event */
    const drop = async (event) => {
      setOver(false);
      if (event.defaultPrevented || !carriesFiles(event) || !event.dataTransfer) return;
      event.preventDefault();
      if (!mayChange(session.get())) return;
      const files = await filesOfDrop(event.dataTransfer);
      navigate('#/upload');
      addFiles(files);
    };
    window.addEventListener('dragenter', enter);
    window.addEventListener('dragover', enter);
    window.addEventListener('dragleave', leave);
    window.addEventListener('drop', drop);
    return () => {
      window.removeEventListener('dragenter', enter);
      window.removeEventListener('dragover', enter);
      window.removeEventListener('dragleave', leave);
      window.removeEventListener('drop', drop);
    };
  }, []);
  return over && html`<div class="drop-anywhere" aria-hidden="true"><p>Drop to upload</p></div>`;
}
