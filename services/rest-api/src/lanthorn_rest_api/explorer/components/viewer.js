/**
 * The picture of an instance. Dragging changes the window (right: wider, down: higher center),
 * the wheel and the arrow keys step through frames, then through the series.
 */
import { renderedAddress } from '../api.js';
import { html, useEffect, useRef, useState } from '../html.js';
import { useRenderedImage } from '../rendered-image.js';
import { Icon } from './icons.js';
import { FrameControls, WindowControls, WindowPresets } from './window-controls.js';

const FRAME_MS = 90;
const WHEEL_STEP = 40;

/**
 * @param {object} props
 * @param {string} props.instance
 * @param {import('../window-range.js').PixelFacts} props.facts
 * @param {import('../window-range.js').Voi | null} props.voi
 * @param {(voi: import('../window-range.js').Voi | null) => void} props.onVoi
 * @param {string} props.label description of the picture for those who do not see it
 * @param {(step: 1 | -1) => void} props.onStep to the neighbour in the series
 */
export function Viewer({ instance, facts, voi, onVoi, label, onStep }) {
  const [place, setPlace] = useState({ instance, frame: 0 });
  const [playing, setPlaying] = useState(false);
  const [inverted, setInverted] = useState(false);
  const frame = place.instance === instance ? Math.min(place.frame, facts.frames - 1) : 0;
  const wanted = renderedAddress(instance, frame, facts.grey ? voi : null);
  const picture = useRenderedImage(wanted);
  /** @param {number} next */
  const showFrame = (next) => setPlace({ instance, frame: (next + facts.frames) % facts.frames });

  useEffect(() => setPlaying(false), [instance]);
  useEffect(() => {
    if (!playing || picture.shown !== wanted) return undefined;
    const timer = setTimeout(() => showFrame(frame + 1), FRAME_MS);
    return () => clearTimeout(timer);
  }, [playing, picture.shown, wanted]);

  /** @param {1 | -1} step */
  const step = (step) => {
    setPlaying(false);
    const next = frame + step;
    if (next >= 0 && next < facts.frames) showFrame(next);
    else onStep(step);
  };
  const screen = useScreenGestures({ facts, voi, onVoi, onStep: step });

  return html`
    <section class="viewer" aria-label="Image">
      <div class="screen" ref=${screen} tabindex="0" role="group"
        aria-label=${`${label}. Arrow keys step through the images.`}
        onKeyDown=${(/** @type {KeyboardEvent} */ event) => {
          const move = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
          if (move === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
          event.preventDefault();
          step(/** @type {1 | -1} */ (move));
        }}>
        ${picture.source && html`
          <img class=${inverted ? 'picture is-inverted' : 'picture'} src=${picture.source} alt=${label} draggable=${false}
            data-shown=${picture.shown === wanted ? 'wanted' : 'former'} />
        `}
        ${picture.error && html`
          <div class="screen-error" role="alert">
            <${Icon} name="warning" />
            <p>${picture.error.status === 415 ? 'This picture cannot be decoded here.' : picture.error.message}</p>
            <button type="button" class="button" onClick=${picture.retry}>Try again</button>
          </div>
        `}
        <p class="screen-note" aria-hidden="true">${facts.columns} × ${facts.rows}</p>
        <p class="screen-note screen-note-right" aria-hidden="true">
          ${facts.grey ? windowText(voi ?? facts.initial) : 'Color'}
        </p>
      </div>
      <div class="controls">
        ${facts.frames > 1 && html`
          <${FrameControls} frame=${frame} frames=${facts.frames} playing=${playing}
            onChange=${(/** @type {number} */ next) => { setPlaying(false); showFrame(next); }}
            onPlay=${() => setPlaying(!playing)} />
        `}
        ${facts.grey && html`<${WindowControls} facts=${facts} voi=${voi} onChange=${onVoi} />`}
        <div class="presets">
          ${facts.grey && html`<${WindowPresets} facts=${facts} voi=${voi} onChange=${onVoi} />`}
          <button type="button" class="chip" aria-pressed=${inverted} onClick=${() => setInverted(!inverted)}>
            <${Icon} name="invert" />Invert
          </button>
        </div>
      </div>
    </section>
  `;
}

/** @param {import('../window-range.js').Voi} voi */
const windowText = ({ center, width }) => `C ${Math.round(center)} · W ${Math.round(width)}`;

/**
 * Wheel and drag on the screen. The wheel listener is bound by hand: it must be able to keep the
 * page from scrolling.
 * @param {object} gestures
 * @param {import('../window-range.js').PixelFacts} gestures.facts
 * @param {import('../window-range.js').Voi | null} gestures.voi
 * @param {(voi: import('../window-range.js').Voi) => void} gestures.onVoi
 * @param {(step: 1 | -1) => void} gestures.onStep
 */
function useScreenGestures(gestures) {
  const screen = useRef(/** @type {HTMLElement | null} */ (null));
  const now = useRef(gestures);
  now.current = gestures;
  useEffect(() => {
    const element = /** @type {HTMLElement} */ (screen.current);
    let rolled = 0;
    /** @param {WheelEvent} event */
    const wheel = (event) => {
      if (event.ctrlKey) return;
      event.preventDefault();
      rolled += event.deltaY;
      if (Math.abs(rolled) < WHEEL_STEP) return;
      now.current.onStep(rolled > 0 ? 1 : -1);
      rolled = 0;
    };
    /** @param {PointerEvent} down */
    const press = (down) => {
      const { facts, voi } = now.current;
      if (down.button !== 0 || down.pointerType === 'touch' || !facts.grey) return;
      const start = voi ?? facts.initial;
      const gain = Math.min(facts.high - facts.low, Math.max(start.width * 4, 64)) / 600;
      element.setPointerCapture(down.pointerId);
      /** @param {PointerEvent} move */
      const drag = (move) => now.current.onVoi({
        center: Math.round(start.center + (move.clientY - down.clientY) * gain),
        width: Math.max(1, Math.round(start.width + (move.clientX - down.clientX) * gain)),
      });
      const end = () => element.removeEventListener('pointermove', drag);
      element.addEventListener('pointermove', drag);
      element.addEventListener('lostpointercapture', end, { once: true });
    };
    element.addEventListener('wheel', wheel, { passive: false });
    element.addEventListener('pointerdown', press);
    return () => {
      element.removeEventListener('wheel', wheel);
      element.removeEventListener('pointerdown', press);
    };
  }, []);
  return screen;
}
