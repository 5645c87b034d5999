import Card from '@mui/material/Card';
import { useQuery } from '@tanstack/react-query';
import { PageHeader } from '../../components/PageHeader';
import { Pager } from '../../components/Pager';
import { EmptyState, Loaded } from '../../components/states';
import { useCursorPages } from '../../components/useCursorPages';
import { useFilters } from '../../components/useFilters';
import { CommandTable } from '../commands/CommandTable';
import { commandsQuery } from '../commands/queries';
import { ExportButton } from './ExportButton';
import { HistoryFilters } from './HistoryFilters';
import { readFilters } from './filters';

const PAGE = 25;

/** All commands, newest first, with every filter of the API in the address. */
export function HistoryPage() {
  const [search, change] = useFilters();
  const filters = readFilters(search);
  const pages = useCursorPages(search.toString());
  const commands = useQuery(commandsQuery({ ...filters, limit: PAGE, cursor: pages.cursor }));
  return (
    <>
      <PageHeader title="History" actions={<ExportButton filters={filters} />} />
      <HistoryFilters filters={filters} onChange={change} />
      <Card aria-busy={commands.isPlaceholderData}>
        <Loaded query={commands} lines={8}>
          {({ items, next_cursor }) => (
            <>
              {items.length === 0 ? (
                <EmptyState title={search.size > 0 ? 'No command matches these filters' : 'No commands yet'} />
              ) : (
                <CommandTable commands={items} label="Commands" />
              )}
              <Pager pages={pages} nextCursor={next_cursor} />
            </>
          )}
        </Loaded>
      </Card>
    </>
  );
}
