/** One patient and the studies of that patient. */
import { archiveAddress, getResource } from '../api.js';
import { date, moment, patientTitle, plural, sex } from '../format.js';
import { html } from '../html.js';
import { useResource } from '../resource.js';
import { DeleteButton } from '../components/delete-button.js';
import { DownloadLink } from '../components/download-link.js';
import { Facts } from '../components/facts.js';
import { EmptyNotice, ErrorNotice } from '../components/notice.js';
import { PageHead } from '../components/page-head.js';
import { StudyList } from '../components/study-list.js';

/** @type {[string, string][]} */
const TRAIL = [['Patients', '#/patients']];

/** @param {{route: import('../router.js').Route, id: string}} props */
export function PatientPage({ route, id }) {
  const { data: patient, error, reload } = useResource(`patients/${id}`, (signal) => getResource('patients', id, signal));
  if (error) return html`<${PageHead} title="Patient" trail=${TRAIL} /><${ErrorNotice} error=${error} onRetry=${reload} />`;
  const tags = patient?.MainDicomTags;
  const title = patient ? patientTitle(tags) : 'Patient';
  return html`
    <${PageHead} title=${title} subtitle=${tags?.PatientID ?? ''} trail=${TRAIL}>
      <${DownloadLink} href=${archiveAddress('patients', id)} label="Download ZIP" />
      <${DeleteButton} level="patients" id=${id} noun="patient" name=${title} ready=${patient !== undefined}
        extent=${`${plural(patient?.Studies?.length ?? 0, 'study', 'studies')} with all images will be deleted.`} />
    <//>
    <div class="panel">
      <${Facts} labels=${patient?.Labels} facts=${[
        ['Patient ID', tags?.PatientID],
        ['Born', date(tags?.PatientBirthDate)],
        ['Sex', sex(tags?.PatientSex)],
        ['Last received', moment(patient?.LastUpdate)],
      ]} />
    </div>
    <h2 class="section">Studies</h2>
    <${StudyList} route=${route} parent=${{ ParentPatient: id }} hidePatient=${true}
      empty=${html`<${EmptyNotice} title="No studies of this patient" />`} />
  `;
}
