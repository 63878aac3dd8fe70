/** From the words of the search form to the constraints of `/tools/find`. Pure functions. */

/** @type {{name: string, label: string, type: string, hint: string}[]} */
export const SEARCH_FIELDS = [
  { name: 'name', label: 'Patient name', type: 'search', hint: 'Doe Jane' },
  { name: 'id', label: 'Patient ID', type: 'search', hint: '' },
  { name: 'description', label: 'Study description', type: 'search', hint: 'Chest' },
  { name: 'accession', label: 'Accession number', type: 'search', hint: '' },
  { name: 'from', label: 'From', type: 'date', hint: '' },
  { name: 'to', label: 'To', type: 'date', hint: '' },
  { name: 'label', label: 'Label', type: 'search', hint: '' },
];

export const MODALITIES = ['CR', 'CT', 'DX', 'ES', 'MG', 'MR', 'NM', 'OT', 'PT', 'RF', 'RTDOSE', 'RTPLAN', 'RTSTRUCT', 'SC', 'SEG', 'SM', 'SR', 'US', 'XA'];

/** Free text finds parts of values, unless its writer used wildcards. @param {string} text */
const containing = (text) => (/[*?]/.test(text) ? text : `*${text}*`);

/** Parts of a person name in the order given, whatever lies between them. @param {string} text */
const containingName = (text) => (/[*?]/.test(text) ? text : `*${text.split(/[\s,^]+/).filter(Boolean).join('*')}*`);

/**
 * @param {URLSearchParams} form
 * @returns {{query: Record<string, string>, labels: string[]}}
 */
export function searchQuery(form) {
  /** @param {string} name */
  const text = (name) => (form.get(name) ?? '').trim();
  /** @type {Record<string, string>} */
  const query = {};
  if (text('name')) query.PatientName = containingName(text('name'));
  if (text('id')) query.PatientID = containing(text('id'));
  if (text('description')) query.StudyDescription = containing(text('description'));
  if (text('accession')) query.AccessionNumber = containing(text('accession'));
  const [from, to] = [text('from'), text('to')].map((day) => day.replaceAll('-', ''));
  if (from || to) query.StudyDate = `${from}-${to}`;
  if (text('modality')) query.ModalitiesInStudy = text('modality').split(',').join('\\');
  return { query, labels: text('label').split(/[\s,]+/).filter(Boolean) };
}
