import type { RJSFSchema, UiSchema } from '@rjsf/utils';

const ACRONYMS: Readonly<Record<string, string>> = {
  ecu: 'ECU',
  dtc: 'DTC',
  id: 'ID',
  ids: 'IDs',
  ms: '(ms)',
  s: '(s)',
};

/** `ecuAddress` → ECU address, `interval_ms` → Interval (ms). */
export function parameterLabel(name: string): string {
  const words = name.replace(/([a-z])([A-Z])/g, '$1 $2').split(/[\s_]+/);
  const text = words.map((word) => ACRONYMS[word.toLowerCase()] ?? word.toLowerCase()).join(' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function singular(label: string): string {
  return label.replace(/s$/, '');
}

/** How the form shows a type's parameters: people's labels, and ECUs to choose from. */
export function parameterUi(schema: RJSFSchema): UiSchema {
  const names = Object.keys(schema.properties ?? {});
  const fields = names.map((name) => {
    const widget = name === 'ecuAddress' ? { 'ui:widget': 'EcuAddress' } : {};
    return [
      name,
      { 'ui:title': parameterLabel(name), ...widget, items: { 'ui:title': singular(parameterLabel(name)) } },
    ];
  });
  return {
    ...Object.fromEntries(fields),
    'ui:order': [...names.filter((name) => name === 'ecuAddress'), '*'],
  } as UiSchema;
}
