//! Tables with a line of names and a line of hexadecimal numbers for each processor: `/proc/net/stat/*`.

use crate::look::Malformed;

/// Such a table, its lines summed up.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Columns<'a> {
    columns: Vec<Column<'a>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Column<'a> {
    name: &'a str,
    first: Option<u64>,
    sum: u64,
}

impl Columns<'_> {
    /// The sum over all processors; none where this kernel has no such column.
    pub(crate) fn sum(&self, name: &str) -> Option<u64> {
        self.columns.iter().find(|column| column.name == name).map(|column| column.sum)
    }

    /// The first processor's number, for columns in which the kernel repeats one that is global.
    pub(crate) fn first(&self, name: &str) -> Option<u64> {
        self.columns.iter().find(|column| column.name == name)?.first
    }
}

/// Columns differ by kernel, hence by name (linux, `net/netfilter/nf_conntrack_standalone.c`, `ct_cpu_seq_show`;
/// `net/core/neighbour.c`, `neigh_stat_seq_show`).
pub(crate) fn parse_columns(text: &str) -> Result<Columns<'_>, Malformed> {
    let mut lines = text.lines().enumerate();
    let (_, names) = lines.next().ok_or(Malformed { line: 1, expected: "the names of the columns" })?;
    let mut columns: Vec<_> = names.split_whitespace().take(64).map(|name| Column { name, first: None, sum: 0 }).collect();
    for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let mut numbers = line.split_whitespace();
        for column in &mut columns {
            let number = numbers
                .next()
                .and_then(|number| u64::from_str_radix(number, 16).ok())
                .ok_or(Malformed::at(index, "a hexadecimal number under each name"))?;
            column.first.get_or_insert(number);
            column.sum = column.sum.saturating_add(number);
        }
    }
    if columns.iter().any(|column| column.first.is_none()) || columns.is_empty() {
        return Err(Malformed { line: 2, expected: "a line for each processor" });
    }
    Ok(Columns { columns })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_are_found_by_name_and_summed() {
        let table = parse_columns("entries  drop early_drop\n0000000a  00000001 000000ff\n0000000a  00000002 00000001\n").unwrap();
        assert_eq!((table.first("entries"), table.sum("drop"), table.sum("early_drop")), (Some(10), Some(3), Some(256)));
        assert_eq!(table.sum("table_fulls"), None);
    }

    #[test]
    fn a_broken_table_says_where() {
        assert_eq!(parse_columns("a b\n1 2\n3\n"), Err(Malformed { line: 3, expected: "a hexadecimal number under each name" }));
        assert_eq!(parse_columns("a b\n1 x\n").unwrap_err().line, 2);
        assert!(parse_columns("").is_err() && parse_columns("a\n").is_err() && parse_columns("\n").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([a-f0-9 ]{0,20}\n){0,5}.{0,20}") {
            let _ = parse_columns(&text);
        }
    }
}
