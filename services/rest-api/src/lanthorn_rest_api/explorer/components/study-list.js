/** A window of the studies that match, with order and paging; used wherever studies are listed. */
import { countResources, findResources } from '../api.js';
import { date, patientTitle, plural, time } from '../format.js';
import { html } from '../html.js';
import { useResource } from '../resource.js';
import { link } from '../router.js';
import { Labels, Modalities } from './facts.js';
import { ErrorNotice } from './notice.js';
import { OrderSelect, orderOf } from './order-select.js';
import { Pager, sinceOf } from './pager.js';
import { Skeleton } from './skeleton.js';

const PAGE_SIZE = 50;

/** @type {import('./order-select.js').Order[]} */
export const STUDY_ORDERS = [
  { name: 'newest', label: 'Newest study first', by: [['DicomTag', 'StudyDate', 'DESC'], ['DicomTag', 'StudyTime', 'DESC']] },
  { name: 'oldest', label: 'Oldest study first', by: [['DicomTag', 'StudyDate', 'ASC'], ['DicomTag', 'StudyTime', 'ASC']] },
  { name: 'received', label: 'Last received first', by: [['Metadata', 'LastUpdate', 'DESC']] },
  { name: 'patient', label: 'Patient name', by: [['DicomTag', 'PatientName', 'ASC'], ['DicomTag', 'StudyDate', 'DESC']] },
];

/**
 * @param {object} props
 * @param {import('../router.js').Route} props.route
 * @param {import('../api.js').Tags} [props.query] constraints
 * @param {string[]} [props.labels]
 * @param {Record<string, string>} [props.parent]
 * @param {boolean} [props.hidePatient]
 * @param {import('../vendor/preact.js').ComponentChildren} props.empty shown when nothing matches
 */
export function StudyList({ route, query = {}, labels = [], parent = {}, hidePatient = false, empty }) {
  const since = sinceOf(route);
  const order = orderOf(route, STUDY_ORDERS);
  /** @type {import('../api.js').FindRequest} */
  const find = {
    level: 'Study', query, labels, parent, since, limit: PAGE_SIZE + 1, orderBy: order.orderBy,
    requestedTags: ['ModalitiesInStudy', 'NumberOfStudyRelatedInstances'],
  };
  const matching = JSON.stringify(['studies', query, labels, parent]);
  const page = useResource(`${matching} ${order.name} ${since}`, (signal) => findResources(find, signal), { keepPrevious: true });
  const count = useResource(`count ${matching}`, (signal) => countResources(find, signal));

  if (page.error) return html`<${ErrorNotice} error=${page.error} onRetry=${page.reload} />`;
  if (page.data?.length === 0 && !page.stale) return empty;
  const studies = page.data?.slice(0, PAGE_SIZE) ?? [];
  const pager = html`
    <${Pager} route=${route} what="studies" since=${since} size=${PAGE_SIZE} shown=${page.stale ? 0 : studies.length}
      more=${!page.stale && (page.data?.length ?? 0) > PAGE_SIZE} total=${count.data} />
  `;
  return html`
    <div class="list-bar">
      <${OrderSelect} route=${route} orders=${STUDY_ORDERS} />
      ${pager}
    </div>
    <div class=${page.stale ? 'list is-stale' : 'list'} aria-busy=${page.busy}>
      ${page.data === undefined
        ? html`<${Skeleton} rows=${12} />`
        : html`
          <table class="rows studies" role="table">
            <caption class="only-read">Studies, ${order.label.toLowerCase()}</caption>
            <thead>
              <tr role="row">
                ${!hidePatient && html`<th role="columnheader" scope="col" class="col-patient">Patient</th>`}
                <th role="columnheader" scope="col" class="col-date">Date</th>
                <th role="columnheader" scope="col" class="col-modality">Modality</th>
                <th role="columnheader" scope="col">Description</th>
                <th role="columnheader" scope="col" class="col-accession">Accession</th>
                <th role="columnheader" scope="col" class="col-size">Contents</th>
              </tr>
            </thead>
            <tbody>
              ${studies.map((study) => html`<${StudyRow} key=${study.ID} study=${study} hidePatient=${hidePatient} />`)}
            </tbody>
          </table>
        `}
    </div>
    ${studies.length > 15 && html`<div class="list-bar list-bar-end">${pager}</div>`}
  `;
}

/** @param {{study: import('../api.js').Resource, hidePatient: boolean}} props */
function StudyRow({ study, hidePatient }) {
  const { MainDicomTags: tags, PatientMainDicomTags: patient, RequestedTags: more = {} } = study;
  const href = link(['studies', study.ID]);
  const description = (tags.StudyDescription ?? '').trim();
  const instances = Number(more.NumberOfStudyRelatedInstances);
  const open = html`<a class="row-link" href=${href}>${hidePatient ? description || 'Study without description' : patientTitle(patient)}</a>`;
  return html`
    <tr role="row">
      ${!hidePatient && html`
        <th role="rowheader" scope="row" class="col-patient">
          ${open}
          <span class="second">${(patient?.PatientID ?? '').trim() || 'no ID'}</span>
        </th>
      `}
      <td role="cell" class="col-date">
        ${date(tags.StudyDate) || '–'}
        <span class="second">${time(tags.StudyTime) || '\u00a0'}</span>
      </td>
      <td role="cell" class="col-modality"><${Modalities} value=${more.ModalitiesInStudy} /></td>
      <td role="cell" class="col-description">
        ${hidePatient ? open : description || html`<span class="muted">No description</span>`}
        <${Labels} labels=${study.Labels} />
      </td>
      <td role="cell" class="col-accession">${(tags.AccessionNumber ?? '').trim() || html`<span class="muted">–</span>`}</td>
      <td role="cell" class="col-size">
        ${plural(study.Series?.length ?? 0, 'series', 'series')}
        <span class="second">${instances > 0 ? plural(instances, 'instance') : '\u00a0'}</span>
      </td>
    </tr>
  `;
}
