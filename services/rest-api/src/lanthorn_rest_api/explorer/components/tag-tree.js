/** All DICOM tags of an instance as a tree with a filter; sequences open on demand. */
import { html, useEffect, useId, useMemo, useState } from '../html.js';

const SHOWN_AT_ONCE = 300;
const LONG_VALUE = 400;

/** @typedef {import('../api.js').TagNode} TagNode */
/** @typedef {Record<string, TagNode>} Dataset */

/** @param {TagNode} node @returns {Dataset[]} items of a sequence, else nothing */
const itemsOf = (node) => (Array.isArray(node.Value) ? node.Value : []);

/**
 * Keeps what matches in number, name or value; a sequence stays whole if it matches itself, else
 * with its matching parts.
 * @param {Dataset} dataset
 * @param {string} wanted lower case
 * @returns {{dataset: Dataset, found: number}}
 */
export function filterTags(dataset, wanted) {
  /** @type {Dataset} */
  const kept = {};
  let found = 0;
  for (const [tag, node] of Object.entries(dataset)) {
    const text = `${tag} (${tag}) ${node.Name} ${typeof node.Value === 'string' ? node.Value : ''}`.toLowerCase();
    if (text.includes(wanted)) {
      kept[tag] = node;
      found += 1;
      continue;
    }
    const items = itemsOf(node).map((item) => filterTags(item, wanted));
    const inside = items.reduce((sum, item) => sum + item.found, 0);
    if (inside === 0) continue;
    kept[tag] = { ...node, Value: items.filter((item) => item.found > 0).map((item) => item.dataset) };
    found += inside;
  }
  return { dataset: kept, found };
}

/** @param {{tags: Dataset}} props */
export function TagTree({ tags }) {
  const id = useId();
  const [filter, setFilter] = useState('');
  const wanted = filter.trim().toLowerCase();
  const { dataset, found } = useMemo(
    () => (wanted ? filterTags(tags, wanted) : { dataset: tags, found: Object.keys(tags).length }),
    [tags, wanted],
  );
  return html`
    <div class="tags-filter">
      <label for=${id}>Filter tags</label>
      <input id=${id} type="search" placeholder="Name, number or value" autocomplete="off" spellcheck=${false}
        value=${filter} onInput=${(/** @type {any} */ event) => setFilter(event.currentTarget.value)} />
      <p class="tags-found" role="status">${wanted ? `${found} found` : `${found} tags`}</p>
    </div>
    <div class="tags-scroll" role="region" aria-label="DICOM tags" tabindex="0">
      ${found === 0
        ? html`<p class="muted tags-none">No tag matches “${filter.trim()}”.</p>`
        : html`<${TagList} dataset=${dataset} opened=${wanted !== ''} />`}
    </div>
  `;
}

/** @param {{dataset: Dataset, opened: boolean}} props */
function TagList({ dataset, opened }) {
  const [limit, setLimit] = useState(SHOWN_AT_ONCE);
  const entries = Object.entries(dataset);
  return html`
    <ul class="tags">
      ${entries.slice(0, limit).map(([tag, node]) => html`
        <li key=${tag}>
          ${node.Type === 'Sequence'
            ? html`<${Sequence} tag=${tag} node=${node} opened=${opened} />`
            : html`<div class="tag"><${TagName} tag=${tag} node=${node} /><${TagValue} node=${node} /></div>`}
        </li>
      `)}
      ${entries.length > limit && html`<li><${More} left=${entries.length - limit} onMore=${() => setLimit(limit + SHOWN_AT_ONCE)} /></li>`}
    </ul>
  `;
}

/** @param {{tag: string, node: TagNode}} props */
function TagName({ tag, node }) {
  return html`<span class="tag-name"><span>${node.Name}</span> <code>${tag}</code></span>`;
}

/** @param {{node: TagNode}} props */
function TagValue({ node }) {
  const [whole, setWhole] = useState(false);
  if (typeof node.Value !== 'string') {
    const why = node.Type === 'TooLong' ? 'too long to show' : node.Type === 'Binary' ? 'binary' : 'empty';
    return html`<span class="tag-value muted">${why}</span>`;
  }
  if (node.Value.trim() === '') return html`<span class="tag-value muted">empty</span>`;
  if (node.Value.length <= LONG_VALUE || whole) return html`<span class="tag-value">${node.Value}</span>`;
  return html`
    <span class="tag-value">
      ${node.Value.slice(0, LONG_VALUE)}…
      <button type="button" class="text-button" onClick=${() => setWhole(true)}>Show all ${node.Value.length} characters</button>
    </span>
  `;
}

/** Its items are built only while it is open. @param {{tag: string, node: TagNode, opened: boolean}} props */
function Sequence({ tag, node, opened }) {
  const [open, setOpen] = useState(opened);
  const [limit, setLimit] = useState(SHOWN_AT_ONCE / 10);
  useEffect(() => setOpen(opened), [opened]);
  const items = itemsOf(node);
  return html`
    <details class="tag-sequence" open=${open} onToggle=${(/** @type {any} */ event) => setOpen(event.currentTarget.open)}>
      <summary><${TagName} tag=${tag} node=${node} /><span class="tag-value muted">${items.length === 1 ? '1 item' : `${items.length} items`}</span></summary>
      ${open && html`
        <ol class="tag-items">
          ${items.slice(0, limit).map((item, index) => html`
            <li key=${index}>
              ${items.length > 1 && html`<span class="tag-item">Item ${index + 1}</span>`}
              <${TagList} dataset=${item} opened=${opened} />
            </li>
          `)}
          ${items.length > limit && html`<li><${More} left=${items.length - limit} onMore=${() => setLimit(limit * 4)} /></li>`}
        </ol>
      `}
    </details>
  `;
}

/** @param {{left: number, onMore: () => void}} props */
const More = ({ left, onMore }) => html`<button type="button" class="text-button" onClick=${onMore}>Show more (${left} left)</button>`;
