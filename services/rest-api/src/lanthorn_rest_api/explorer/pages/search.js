/** Search of studies by what is known of them; the form is part of the address. */
import { html, useEffect, useState } from '../html.js';
import { link, navigate } from '../router.js';
import { MODALITIES, SEARCH_FIELDS, searchQuery } from '../search-query.js';
import { Icon } from '../components/icons.js';
import { EmptyNotice } from '../components/notice.js';
import { PageHead } from '../components/page-head.js';
import { StudyList } from '../components/study-list.js';

/** @param {{route: import('../router.js').Route}} props */
export function SearchPage({ route }) {
  const { query, labels } = searchQuery(route.query);
  const asked = Object.keys(query).length + labels.length > 0;
  const nothing = html`
    <${EmptyNotice} title="No study matches">
      <p>Fewer or shorter words find more. Accents count, capitals do not.</p>
      <p class="notice-actions"><a class="button" href="#/search">Clear the search</a></p>
    <//>
  `;
  return html`
    <${PageHead} title="Search" />
    <${SearchForm} route=${route} />
    ${asked
      ? html`<${StudyList} route=${route} query=${query} labels=${labels} empty=${nothing} />`
      : html`<p class="hint">Part of a word is enough. <code>*</code> stands for any characters, <code>?</code> for one.</p>`}
  `;
}

/** @param {{route: import('../router.js').Route}} props */
function SearchForm({ route }) {
  const [values, setValues] = useState(() => readForm(route.query));
  const asked = route.query.toString();
  useEffect(() => setValues(readForm(route.query)), [asked]);

  /** @param {string} name @param {string} value */
  const set = (name, value) => setValues((held) => ({ ...held, [name]: value }));
  const chosen = values.modality.split(',').filter(Boolean);
  /** @param {string} modality */
  const toggle = (modality) => set('modality', (chosen.includes(modality)
    ? chosen.filter((one) => one !== modality)
    : [...chosen, modality]).join(','));
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    navigate(link(['search'], { ...values, order: route.query.get('order') ?? '' }));
  };
  return html`
    <form class="panel search" role="search" onSubmit=${submit}>
      <div class="search-fields">
        ${SEARCH_FIELDS.map(({ name, label, type, hint }) => html`
          <div class="field" key=${name}>
            <label for=${`search-${name}`}>${label}</label>
            <input id=${`search-${name}`} name=${name} type=${type} placeholder=${hint} autocomplete="off" spellcheck=${false}
              value=${values[name]} onInput=${(/** @type {any} */ event) => set(name, event.currentTarget.value)} />
          </div>
        `)}
      </div>
      <fieldset class="search-modalities">
        <legend>Modality</legend>
        <div class="chips">
          ${MODALITIES.map((modality) => html`
            <label class="chip" key=${modality}>
              <input type="checkbox" checked=${chosen.includes(modality)} onChange=${() => toggle(modality)} />${modality}
            </label>
          `)}
        </div>
      </fieldset>
      <div class="search-actions">
        <button type="submit" class="button button-primary"><${Icon} name="search" />Search</button>
        <a class="button button-quiet" href="#/search">Clear</a>
      </div>
    </form>
  `;
}

/** @param {URLSearchParams} query @returns {Record<string, string>} */
function readForm(query) {
  return Object.fromEntries([...SEARCH_FIELDS.map(({ name }) => name), 'modality'].map((name) => [name, query.get(name) ?? '']));
}
