/** Short notes that something was done; read aloud, gone after a while. */
import { html } from '../html.js';
import { createStore, useStore } from '../store.js';

const SHOWN_MS = 6_000;

const notes = createStore({ notes: /** @type {{number: number, text: string}[]} */ ([]) });
let counter = 0;

/** @param {string} text */
export function tell(text) {
  counter += 1;
  const number = counter;
  notes.update({ notes: [...notes.get().notes, { number, text }] });
  setTimeout(() => notes.update({ notes: notes.get().notes.filter((note) => note.number !== number) }), SHOWN_MS);
}

export function Toasts() {
  return html`
    <div class="toasts" role="status" aria-live="polite">
      ${useStore(notes).notes.map(({ number, text }) => html`<p key=${number}>${text}</p>`)}
    </div>
  `;
}
