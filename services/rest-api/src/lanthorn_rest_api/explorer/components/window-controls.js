/** Window center and width: sliders, exact numbers, customary windows for CT; frames. */
import { html, useId } from '../html.js';
import { CT_PRESETS } from '../window-range.js';
import { Icon } from './icons.js';

/** @typedef {import('../window-range.js').Voi} Voi */

/**
 * @param {object} props
 * @param {import('../window-range.js').PixelFacts} props.facts
 * @param {Voi | null} props.voi null: as the file says
 * @param {(voi: Voi | null) => void} props.onChange
 */
export function WindowControls({ facts, voi, onChange }) {
  const { center, width } = voi ?? facts.initial;
  const span = facts.high - facts.low;
  const step = span > 64 ? 1 : span / 256;
  return html`
    <fieldset class="controls-group">
      <legend class="only-read">Window</legend>
      <${Slider} label="Center" value=${center} min=${Math.min(facts.low, center)} max=${Math.max(facts.high, center)} step=${step}
        onChange=${(/** @type {number} */ value) => onChange({ center: value, width })} />
      <${Slider} label="Width" value=${width} min=${Math.min(1, width)} max=${Math.max(span, width)} step=${step}
        onChange=${(/** @type {number} */ value) => onChange({ center, width: Math.max(1, value) })} />
    </fieldset>
  `;
}

/**
 * Customary windows.
 * @param {object} props
 * @param {import('../window-range.js').PixelFacts} props.facts
 * @param {Voi | null} props.voi
 * @param {(voi: Voi | null) => void} props.onChange
 */
export function WindowPresets({ facts, voi, onChange }) {
  return html`
    <button type="button" class="chip" aria-pressed=${voi === null} onClick=${() => onChange(null)}>As in file</button>
    ${facts.modality === 'CT' && CT_PRESETS.map(([label, preset]) => html`
      <button type="button" class="chip" key=${label} onClick=${() => onChange(preset)}
        aria-pressed=${voi !== null && voi.center === preset.center && voi.width === preset.width}>${label}</button>
    `)}
  `;
}

/**
 * @param {object} props
 * @param {string} props.label
 * @param {number} props.value
 * @param {number} props.min
 * @param {number} props.max
 * @param {number} props.step
 * @param {(value: number) => void} props.onChange
 */
function Slider({ label, value, min, max, step, onChange }) {
  const id = useId();
  /** @param {Event} event */
  const change = (event) => {
    const chosen = /** @type {HTMLInputElement} */ (event.currentTarget).valueAsNumber;
    if (Number.isFinite(chosen)) onChange(chosen);
  };
  return html`
    <div class="slider">
      <label for=${id}>${label}</label>
      <input type="range" aria-label=${`${label}, slider`} min=${min} max=${max} step=${step} value=${value} onInput=${change} />
      <input id=${id} type="number" step="any" value=${Math.round(value * 100) / 100} onChange=${change} />
    </div>
  `;
}

/**
 * Which frame of a multi-frame instance; plays them as well.
 * @param {object} props
 * @param {number} props.frame counted from 0
 * @param {number} props.frames
 * @param {boolean} props.playing
 * @param {(frame: number) => void} props.onChange
 * @param {() => void} props.onPlay
 */
export function FrameControls({ frame, frames, playing, onChange, onPlay }) {
  const id = useId();
  /** @param {Event} event */
  const change = (event) => onChange(/** @type {HTMLInputElement} */ (event.currentTarget).valueAsNumber - 1);
  return html`
    <div class="slider slider-frame">
      <label for=${id}>Frame</label>
      <input id=${id} type="range" min="1" max=${frames} step="1" value=${frame + 1} onInput=${change}
        aria-valuetext=${`Frame ${frame + 1} of ${frames}`} />
      <output class="frame-number">${frame + 1} / ${frames}</output>
      <button type="button" class="button button-icon" aria-label=${playing ? 'Pause' : 'Play frames'} title=${playing ? 'Pause' : 'Play frames'}
        onClick=${onPlay}><${Icon} name=${playing ? 'pause' : 'play'} /></button>
    </div>
  `;
}
