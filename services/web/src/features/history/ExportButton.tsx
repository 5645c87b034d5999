import DownloadIcon from '@mui/icons-material/FileDownloadOutlined';
import Button from '@mui/material/Button';
import { useMutation } from '@tanstack/react-query';
import { api } from '../../api/client';
import { toApiProblem } from '../../api/problem';
import { toast, toastProblem } from '../../components/toast';
import { download } from '../../lib/download';
import type { HistoryFilterSet } from './filters';

export function ExportButton({ filters }: { filters: HistoryFilterSet }) {
  const exporting = useMutation({
    mutationFn: () => exportCsv(filters),
    onSuccess: (truncated) =>
      truncated && toast('warning', 'The file holds the first part only; narrow the filters to get the rest.'),
    onError: (error) => toastProblem('Nothing was exported', error),
  });
  return (
    <Button
      startIcon={<DownloadIcon />}
      variant="outlined"
      loading={exporting.isPending}
      onClick={() => exporting.mutate()}
    >
      Export CSV
    </Button>
  );
}

/** Whether the server left something out. */
async function exportCsv(filters: HistoryFilterSet): Promise<boolean> {
  const { data, error, response } = await api.GET('/api/v1/commands/export.csv', {
    params: { query: filters },
    parseAs: 'blob',
  });
  if (data === undefined) throw toApiProblem(response, error);
  download(`commands-${new Date().toISOString().slice(0, 10)}.csv`, data);
  return response.headers.get('X-Truncated') === 'true';
}
