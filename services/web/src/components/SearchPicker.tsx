import Autocomplete from '@mui/material/Autocomplete';
import Box from '@mui/material/Box';
import TextField from '@mui/material/TextField';
import { useState, type ReactNode } from 'react';
import { describeProblem } from '../api/problem';

interface SearchPickerProps<Item> {
  label: string;
  placeholder: string;
  nothingFound: string;
  value: Item | null;
  onChange: (item: Item | null) => void;
  /** What is typed now; nothing while that is the chosen one. */
  onSearch: (text: string) => void;
  found: { data: { items: readonly Item[] } | undefined; error: unknown; isFetching: boolean };
  idOf: (item: Item) => string;
  labelOf: (item: Item) => string;
  renderItem: (item: Item) => ReactNode;
  required?: boolean;
  /** What is wrong with the choice. */
  problem?: string | undefined;
}

/** Chooses one of very many, which the server finds while one types. */
export function SearchPicker<Item>({
  label,
  placeholder,
  nothingFound,
  value,
  onChange,
  onSearch,
  found,
  idOf,
  labelOf,
  renderItem,
  required = false,
  problem,
}: SearchPickerProps<Item>) {
  const [text, setText] = useState('');
  const { data, error, isFetching } = found;
  const type = (typed: string) => {
    setText(typed);
    onSearch(value !== null && typed === labelOf(value) ? '' : typed.trim());
  };
  return (
    <Autocomplete
      options={data?.items ?? []}
      value={value}
      onChange={(_, chosen) => onChange(chosen)}
      inputValue={text}
      onInputChange={(_, typed) => type(typed)}
      getOptionLabel={labelOf}
      getOptionKey={idOf}
      isOptionEqualToValue={(option, chosen) => idOf(option) === idOf(chosen)}
      filterOptions={(options) => options}
      loading={isFetching}
      noOptionsText={nothingFound}
      renderOption={({ key, ...props }, option) => (
        <Box component="li" key={key} {...props} sx={{ gap: 1.5 }}>
          {renderItem(option)}
        </Box>
      )}
      renderInput={(params) => (
        <TextField
          {...params}
          label={label}
          required={required}
          placeholder={placeholder}
          error={error !== null || problem !== undefined}
          helperText={error === null ? problem : describeProblem(error)}
        />
      )}
    />
  );
}
