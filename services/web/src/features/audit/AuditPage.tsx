import Box from '@mui/material/Box';
import Card from '@mui/material/Card';
import Stack from '@mui/material/Stack';
import { useQuery } from '@tanstack/react-query';
import { useCallback } from 'react';
import { MomentField } from '../../components/MomentField';
import { PageHeader } from '../../components/PageHeader';
import { Pager } from '../../components/Pager';
import { SearchField } from '../../components/SearchField';
import { EmptyState, Loaded } from '../../components/states';
import { useCursorPages } from '../../components/useCursorPages';
import { useFilters } from '../../components/useFilters';
import { UserPicker } from '../users/UserPicker';
import { AuditTable } from './AuditTable';
import { readFilters } from './filters';
import { auditQuery } from './queries';
import { Verification } from './Verification';

const PAGE = 50;

export function AuditPage() {
  const [search, change] = useFilters();
  const pages = useCursorPages(search.toString());
  const entries = useQuery(auditQuery({ ...readFilters(search), limit: PAGE, cursor: pages.cursor }));
  return (
    <>
      <PageHeader title="Audit" subtitle="Who did what, newest first" />
      <Verification />
      <AuditFilters search={search} onChange={change} />
      <Card aria-busy={entries.isPlaceholderData}>
        <Loaded query={entries} lines={8}>
          {({ items, next_cursor }) => (
            <>
              {items.length === 0 ? <EmptyState title="No entry matches" /> : <AuditTable entries={items} />}
              <Pager pages={pages} nextCursor={next_cursor} />
            </>
          )}
        </Loaded>
      </Card>
    </>
  );
}

interface AuditFiltersProps {
  search: URLSearchParams;
  onChange: (changes: Readonly<Record<string, string>>) => void;
}

function AuditFilters({ search, onChange }: AuditFiltersProps) {
  const changeAction = useCallback((action: string) => onChange({ action }), [onChange]);
  const changeSubject = useCallback((subject_id: string) => onChange({ subject_id }), [onChange]);
  return (
    <Stack direction="row" role="search" sx={{ gap: 2, my: 2, flexWrap: 'wrap' }}>
      <SearchField label="Action, such as user.login" value={search.get('action') ?? ''} onChange={changeAction} />
      <Box sx={{ width: 220 }}>
        <UserPicker label="Who" userId={search.get('actor_id') ?? ''} onChange={(actor_id) => onChange({ actor_id })} />
      </Box>
      <SearchField label="Id of what it was done to" value={search.get('subject_id') ?? ''} onChange={changeSubject} />
      <MomentField label="From" value={search.get('from')} onChange={(from) => onChange({ from })} />
      <MomentField label="Until" value={search.get('to')} onChange={(to) => onChange({ to })} />
    </Stack>
  );
}
