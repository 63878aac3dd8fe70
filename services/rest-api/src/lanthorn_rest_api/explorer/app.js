/** Starts the explorer: frame of the page, choice of the page by the route. */
import { Fragment, html, render, useEffect, useLayoutEffect, useRef } from './html.js';
import { settleScroll, useRoute } from './router.js';
import { watchSession } from './session.js';
import { DropAnywhere } from './components/drop-anywhere.js';
import { Footer } from './components/footer.js';
import { Header } from './components/header.js';
import { Toasts } from './components/toasts.js';
import { InstancePage } from './pages/instance.js';
import { MissingPage } from './pages/missing.js';
import { PatientPage } from './pages/patient.js';
import { PatientsPage } from './pages/patients.js';
import { SearchPage } from './pages/search.js';
import { SeriesPage } from './pages/series.js';
import { StudiesPage } from './pages/studies.js';
import { StudyPage } from './pages/study.js';
import { UploadPage } from './pages/upload.js';

/** @type {Record<string, {list?: any, one?: any}>} first segment: page without and with identifier */
const PAGES = {
  studies: { list: StudiesPage, one: StudyPage },
  patients: { list: PatientsPage, one: PatientPage },
  series: { one: SeriesPage },
  instances: { one: InstancePage },
  search: { list: SearchPage },
  upload: { list: UploadPage },
};

/** @param {import('./router.js').Route} route */
function pageOf({ path }) {
  const [name = 'studies', id, ...rest] = path;
  if (!Object.hasOwn(PAGES, name) || rest.length > 0) return MissingPage;
  return (id === undefined ? PAGES[name].list : PAGES[name].one) ?? MissingPage;
}

function App() {
  const route = useRoute();
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  const started = useRef(false);
  const [name = 'studies', id = ''] = route.path;
  const Page = pageOf(route);

  useLayoutEffect(() => settleScroll(route), [route.key]);
  // Readers of screen readers and keyboards begin at the content of the new page; stepping through
  // a series keeps its place.
  const place = name === 'instances' ? name : `${name} ${id}`;
  useEffect(() => {
    if (started.current) main.current?.focus({ preventScroll: true });
    started.current = true;
  }, [place]);

  return html`
    <${Fragment}>
      <${Header} here=${name} />
      <main id="main" ref=${main} tabindex="-1">
        <${Page} key=${place} route=${route} id=${id} />
      </main>
      <${Footer} />
      <${Toasts} />
      <${DropAnywhere} />
    <//>
  `;
}

watchSession();
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById('app')));
