/** All patients by name. */
import { countResources, findResources } from '../api.js';
import { date, moment, patientTitle, plural, sex } from '../format.js';
import { html } from '../html.js';
import { useResource } from '../resource.js';
import { link } from '../router.js';
import { Labels } from '../components/facts.js';
import { EmptyNotice, ErrorNotice } from '../components/notice.js';
import { OrderSelect, orderOf } from '../components/order-select.js';
import { PageHead } from '../components/page-head.js';
import { Pager, sinceOf } from '../components/pager.js';
import { Skeleton } from '../components/skeleton.js';

const PAGE_SIZE = 50;

/** @type {import('../components/order-select.js').Order[]} */
const ORDERS = [
  { name: 'name', label: 'Name', by: [['DicomTag', 'PatientName', 'ASC']] },
  { name: 'id', label: 'Patient ID', by: [['DicomTag', 'PatientID', 'ASC']] },
  { name: 'received', label: 'Last received first', by: [['Metadata', 'LastUpdate', 'DESC']] },
];

/** @param {{route: import('../router.js').Route}} props */
export function PatientsPage({ route }) {
  return html`
    <${PageHead} title="Patients" />
    <${PatientList} route=${route} />
  `;
}

/** @param {{route: import('../router.js').Route}} props */
function PatientList({ route }) {
  const since = sinceOf(route);
  const order = orderOf(route, ORDERS);
  /** @type {import('../api.js').FindRequest} */
  const find = { level: 'Patient', since, limit: PAGE_SIZE + 1, orderBy: order.orderBy };
  const page = useResource(`patients ${order.name} ${since}`, (signal) => findResources(find, signal), { keepPrevious: true });
  const count = useResource('count patients', (signal) => countResources(find, signal));

  if (page.error) return html`<${ErrorNotice} error=${page.error} onRetry=${page.reload} />`;
  if (page.data?.length === 0 && !page.stale) {
    return html`<${EmptyNotice} title="No patients here"><p>They appear with their first image.</p><//>`;
  }
  const patients = page.data?.slice(0, PAGE_SIZE) ?? [];
  return html`
    <div class="list-bar">
      <${OrderSelect} route=${route} orders=${ORDERS} />
      <${Pager} route=${route} what="patients" since=${since} size=${PAGE_SIZE} shown=${page.stale ? 0 : patients.length}
        more=${!page.stale && (page.data?.length ?? 0) > PAGE_SIZE} total=${count.data} />
    </div>
    <div class=${page.stale ? 'list is-stale' : 'list'} aria-busy=${page.busy}>
      ${page.data === undefined
        ? html`<${Skeleton} rows=${12} />`
        : html`
          <table class="rows patients" role="table">
            <caption class="only-read">Patients, ordered by ${order.label.toLowerCase()}</caption>
            <thead>
              <tr role="row">
                <th role="columnheader" scope="col" class="col-patient">Patient</th>
                <th role="columnheader" scope="col" class="col-date">Born</th>
                <th role="columnheader" scope="col">Sex</th>
                <th role="columnheader" scope="col">Last received</th>
                <th role="columnheader" scope="col" class="col-size">Contents</th>
              </tr>
            </thead>
            <tbody>
              ${patients.map((patient) => html`<${PatientRow} key=${patient.ID} patient=${patient} />`)}
            </tbody>
          </table>
        `}
    </div>
  `;
}

/** @param {{patient: import('../api.js').Resource}} props */
function PatientRow({ patient }) {
  const tags = patient.MainDicomTags;
  return html`
    <tr role="row">
      <th role="rowheader" scope="row" class="col-patient">
        <a class="row-link" href=${link(['patients', patient.ID])}>${patientTitle(tags)}</a>
        <span class="second">${(tags.PatientID ?? '').trim() || 'no ID'}</span>
      </th>
      <td role="cell" class="col-date">${date(tags.PatientBirthDate) || '–'}</td>
      <td role="cell" class="col-sex">${sex(tags.PatientSex) || '–'}</td>
      <td role="cell" class="col-description">${moment(patient.LastUpdate)}<${Labels} labels=${patient.Labels} /></td>
      <td role="cell" class="col-size">${plural(patient.Studies?.length ?? 0, 'study', 'studies')}</td>
    </tr>
  `;
}
