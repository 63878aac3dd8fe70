/** One study: whose it is, and its series with a picture each. */
import { archiveAddress, getResource, getSeriesOfStudy } from '../api.js';
import { date, patientTitle, personName, plural, sex, time } from '../format.js';
import { html } from '../html.js';
import { useResource } from '../resource.js';
import { link } from '../router.js';
import { hasPatients, session } from '../session.js';
import { useStore } from '../store.js';
import { DeleteButton } from '../components/delete-button.js';
import { DownloadLink } from '../components/download-link.js';
import { Facts, Labels } from '../components/facts.js';
import { EmptyNotice, ErrorNotice } from '../components/notice.js';
import { PageHead } from '../components/page-head.js';
import { TileSkeleton } from '../components/skeleton.js';
import { Thumbnail } from '../components/thumbnail.js';

/** @param {{id: string}} props */
export function StudyPage({ id }) {
  const patients = hasPatients(useStore(session));
  const study = useResource(`studies/${id}`, (signal) => getResource('studies', id, signal));
  const series = useResource(`studies/${id}/series`, (signal) => getSeriesOfStudy(id, signal));
  const error = study.error ?? series.error;
  if (error) {
    const retry = () => {
      study.reload();
      series.reload();
    };
    return html`
      <${PageHead} title="Study" trail=${[['Studies', '#/studies']]} />
      <${ErrorNotice} error=${error} onRetry=${retry} />
    `;
  }
  const tags = study.data?.MainDicomTags;
  const patient = study.data?.PatientMainDicomTags;
  const title = study.data ? tags?.StudyDescription?.trim() || 'Study without description' : 'Study';
  const instances = series.data?.reduce((sum, one) => sum + (one.Instances?.length ?? 0), 0) ?? 0;
  /** @type {[string, string][]} */
  const trail = [['Studies', '#/studies']];
  if (study.data && patients) trail.push([patientTitle(patient), link(['patients', study.data.ParentPatient ?? ''])]);
  const extent = `${plural(series.data?.length ?? 0, 'series', 'series')} with ${plural(instances, 'instance')} will be deleted.`;
  return html`
    <${PageHead} title=${title} trail=${trail}
      subtitle=${study.data ? [patientTitle(patient), date(tags?.StudyDate)].filter(Boolean).join(' · ') : ''}>
      <${DownloadLink} href=${archiveAddress('studies', id)} label="Download ZIP" />
      <${DeleteButton} level="studies" id=${id} noun="study" name=${`${title}, ${patientTitle(patient)}`} extent=${extent}
        ready=${study.data !== undefined && series.data !== undefined} />
    <//>
    <div class="panel">
      <${Facts} labels=${study.data?.Labels} facts=${[
        ['Patient', personName(patient?.PatientName)],
        ['Patient ID', patient?.PatientID],
        ['Born', date(patient?.PatientBirthDate)],
        ['Sex', sex(patient?.PatientSex)],
        ['Date', `${date(tags?.StudyDate)} ${time(tags?.StudyTime)}`],
        ['Accession', tags?.AccessionNumber],
        ['Referred by', personName(tags?.ReferringPhysicianName)],
        ['Institution', tags?.InstitutionName],
      ]} />
    </div>
    <h2 class="section">Series ${series.data && html`<span class="count">${series.data.length}</span>`}</h2>
    ${series.data === undefined
      ? html`<${TileSkeleton} tiles=${4} />`
      : series.data.length === 0
        ? html`<${EmptyNotice} title="No series in this study" />`
        : html`
          <ul class="tiles">
            ${inOrder(series.data).map((one) => html`<li key=${one.ID}><${SeriesTile} series=${one} /></li>`)}
          </ul>
        `}
  `;
}

/** By series number, those without one last. @param {import('../api.js').Resource[]} series */
function inOrder(series) {
  /** @param {import('../api.js').Resource} one */
  const rank = ({ MainDicomTags: tags }) => {
    const value = Number.parseInt(tags.SeriesNumber, 10);
    return Number.isNaN(value) ? Infinity : value;
  };
  return [...series].sort((one, other) => (rank(one) === rank(other) ? 0 : rank(one) - rank(other)));
}

/** @param {{series: import('../api.js').Resource}} props */
function SeriesTile({ series }) {
  const { MainDicomTags: tags, Instances: instances = [] } = series;
  const title = tags.SeriesDescription?.trim() || tags.ProtocolName?.trim() || 'Series without description';
  return html`
    <a class="tile" href=${link(['series', series.ID])}>
      <${Thumbnail} instance=${instances[Math.floor(instances.length / 2)]} label="" />
      <span class="tile-text">
        <span class="tile-title">${title}</span>
        <span class="second">
          <span class="modality">${tags.Modality?.trim() || '?'}</span>
          ${tags.SeriesNumber?.trim() ? `No. ${tags.SeriesNumber.trim()} · ` : ''}${plural(instances.length, 'instance')}
        </span>
        <${Labels} labels=${series.Labels} />
      </span>
    </a>
  `;
}
