//! Tables as other programs write them: an index, spare commas and spaces, comments, missing values.

use retape::data::{Fill, Fills, Table, TableOptions};
use retape::{Error, Result, TableError};

fn parse(text: &str) -> Result<Table> {
    Table::parse("test.csv", text.as_bytes())
}

fn parse_with(text: &str, options: &TableOptions) -> Result<Table> {
    Table::parse_with("test.csv", text.as_bytes(), options)
}

/// Line and what was expected of an [`TableError::Field`].
fn csv<T: std::fmt::Debug>(result: Result<T>) -> (u64, &'static str) {
    match result {
        Err(Error::Table(TableError::Field { line, expected, .. })) => (line, expected),
        other => panic!("TableError::Field expected, {other:?} found"),
    }
}

#[test]
fn an_index_is_no_column() -> Result<()> {
    // As pandas and R write it, quoted or not, with a spare comma or without.
    for text in [",a,b\n0,1,2\n1,3,4\n", "\"\",\"a\",\"b\"\n0,1,2\n1,3,4\n", " ,a,b,\n0,1,2,\n1,3,4,\n"] {
        let table = parse(text)?;
        assert_eq!(table.names(), ["a", "b"], "{text:?}");
        assert_eq!((table.column_f32("a")?, table.column_f32("b")?), (vec![1.0, 3.0], vec![2.0, 4.0]));
        assert_eq!(table.index(), Some(vec!["0", "1"]));
        assert_eq!(table.reset_index("row")?.names(), ["row", "a", "b"]);
    }
    // Of a printed data frame, or R's `write.table`: the header lacks it.
    let whitespace = TableOptions::new().whitespace(true);
    let table = parse_with("     a    b\n0  1.0  2.0\n1  3.0  4.0\n", &whitespace)?;
    assert_eq!((table.names(), table.index()), (&["a", "b"].map(String::from)[..], Some(vec!["0", "1"])));
    assert_eq!(table.column_f32("b")?, [2.0, 4.0]);

    let plain = parse("a,b\n1,2\n")?;
    assert_eq!(plain.index(), None);
    assert!(matches!(plain.clone().reset_index("i"), Err(Error::Argument { argument: "index", .. })));
    let taken = parse(",a\n1,2\n")?.reset_index("a");
    assert!(matches!(taken, Err(Error::DuplicateName { .. })), "{taken:?}");
    // Between commas, a field too many is one.
    assert!(matches!(
        parse("a,b\n1,2,3\n"),
        Err(Error::Table(TableError::Fields { line: 2, found: 3, expected: 2, .. }))
    ));
    // No other column is without a name.
    assert_eq!(csv(parse(",a,,b\n1,2,3,4\n")), (1, "the name of the column"));
    Ok(())
}

#[test]
fn commas_at_the_end_begin_no_column() -> Result<()> {
    for text in [
        "a,b,\n1,2,\n3,4,\n",
        "a,b,\n1,2\n3,4\n",
        "a,b\n1,2,\n3,4,\n",
        "a,b\n1,2,\n3,4\n",
        "a,b,,,\n1,2, ,\n3,4,,,,\n",
    ] {
        let table = parse(text)?;
        assert_eq!(table.names(), ["a", "b"], "{text:?}");
        assert_eq!((table.column_f32("a")?, table.column_f32("b")?), (vec![1.0, 3.0], vec![2.0, 4.0]));
    }
    // A last column with a name is one, empty or not.
    assert_eq!(parse("a,b\n1,\n2,\n")?.column_optional_f32("b")?, [None, None]);
    // A column without a name in which something stands is not dropped.
    assert_eq!(csv(parse("a,b,\n1,2,\n3,4,5\n")), (1, "the name of the column"));
    let headless = TableOptions::new().header(false);
    assert_eq!(parse_with("1,2,\n3,4,\n", &headless)?.names(), ["0", "1"]);
    assert_eq!(parse_with("1,2,\n3,4,5\n", &headless)?.names(), ["0", "1", "2"]);
    Ok(())
}

#[test]
fn columns_are_apart_by_runs_of_spaces() -> Result<()> {
    let options = TableOptions::new().whitespace(true);
    let text = "  x \t  y  name \n 1    -2.5 \"two words\"\n\n   \t\n10\t3 plain   \r\n";
    let table = parse_with(text, &options)?;
    assert_eq!(table.names(), ["x", "y", "name"]);
    assert_eq!((table.column_f32("x")?, table.column_f32("y")?), (vec![1.0, 10.0], vec![-2.5, 3.0]));
    assert_eq!(table.column_str("name")?, ["two words", "plain"]);
    assert!(matches!(
        parse_with("a b\n1 2 3\n4 5\n", &options),
        Err(Error::Table(TableError::Fields { line: 2, .. }))
    ));
    Ok(())
}

#[test]
fn quotes_may_follow_spaces() -> Result<()> {
    let table = parse(
        "n, \"a, b\" ,kind\n1, \"b, c\", \"yes\"\n2,\"d\"  ,\"yes\"\n3, e , yes\n4,\t\"f\"\"g\",\" no \"\n",
    )?;
    assert_eq!(table.names(), ["n", "a, b", "kind"]);
    assert_eq!(table.column_str("a, b")?, ["b, c", "d", "e", "f\"g"]);
    let data = table.to_dataset(&["n"], "kind")?;
    assert_eq!((data.labels(), data.classes()), (&[1, 1, 1, 0][..], 2));
    assert_eq!(data.class_names().expect("a table gives names"), ["no", "yes"]);
    // Within a field a quote is a character.
    assert_eq!(parse("a,b\n5\" pipe,6'2\"\n")?.column_str("a")?, ["5\" pipe"]);
    Ok(())
}

#[test]
fn labels_that_are_numbers_are_in_their_order() -> Result<()> {
    let labels = |texts: &[&str]| -> Result<(Vec<u32>, Vec<String>)> {
        let rows: String = texts.iter().map(|text| format!("1,{text}\n")).collect();
        let data = parse(&format!("x,k\n{rows}"))?.to_dataset(&["x"], "k")?;
        Ok((data.labels().to_vec(), data.class_names().unwrap_or_default().to_vec()))
    };
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(labels(&["10.0", "2.0", "1.0", "2.0"])?, (vec![2, 1, 0, 1], names(&["1", "2", "10"])));
    // Written in another way, a number is the same class.
    assert_eq!(labels(&["1", "1.0", "01", "1e0", "2.50", "2.5"])?.0, [0, 0, 0, 0, 1, 1]);
    assert_eq!(labels(&["-0.0", "0", "-1e3", "-0.5"])?, (vec![2, 2, 0, 1], names(&["-1000", "-0.5", "0"])));
    // Whole numbers stay apart where f64 has one for both.
    let large = ["9007199254740993", "9007199254740992", "-9"];
    assert_eq!(labels(&large)?, (vec![2, 1, 0], names(&["-9", large[1], large[0]])));
    assert_eq!(labels(&["10.0", "2.0", "inf"])?.0, [0, 1, 2], "one that is no number makes text of all");

    let table = parse("k\n10\n9.0\n9\n")?;
    let categories = table.categories("k")?;
    assert_eq!(categories, ["9", "10"]);
    assert_eq!(table.one_hot("k", &categories)?.column_f32("k=9")?, [0.0, 1.0, 1.0]);
    Ok(())
}

#[test]
fn classes_may_be_told() -> Result<()> {
    let text = "x,k\n1,b\n2,c\n";
    let data = parse(text)?.classes(["c", "a", "b"]).to_dataset(&["x"], "k")?;
    assert_eq!((data.labels(), data.classes()), (&[2, 0][..], 3));
    assert_eq!(data.class_names().expect("they were told"), ["c", "a", "b"]);
    assert_eq!(csv(parse(text)?.classes(["a", "b"]).to_dataset(&["x"], "k")), (3, "one of the classes"));
    let twice = parse(text)?.classes(["a", "b", "a"]).to_dataset(&["x"], "k");
    assert!(matches!(twice, Err(Error::DuplicateName { .. })), "{twice:?}");
    // One that is told is a class, even where it is a word for a missing value.
    let none = parse("x,k\n1,None\n2,low\n")?;
    assert_eq!(csv(none.to_dataset(&["x"], "k")), (2, "a label"));
    assert_eq!(none.classes(["None", "low"]).to_dataset(&["x"], "k")?.labels(), [0, 1]);
    // Numbers are known however they are written.
    let numbers = parse("x,k\n1,2.0\n2,1\n")?.classes(["1", "2", "3"]).to_dataset(&["x"], "k")?;
    assert_eq!((numbers.labels(), numbers.classes()), (&[1, 0][..], 3));
    Ok(())
}

#[test]
fn words_for_missing_values() -> Result<()> {
    for word in TableOptions::MISSING {
        let table = parse(&format!("a,b\n{word},1\n2,3\n"))?;
        assert_eq!(table.column_optional_f32("a")?, [None, Some(2.0)], "{word}");
        assert_eq!(csv(table.column_f32("a")), (2, "a number, not a missing value"));
    }
    for word in ["NULL", "None", "N/A", "?", "NA", "null", "nan", ""] {
        assert!(TableOptions::MISSING.contains(&word), "{word}");
    }
    let options = TableOptions::new().missing(&["-9999", "unknown"]);
    let table = parse_with("a,b\n-9999,?\nunknown,4\n", &options)?;
    assert_eq!(table.column_optional_f32("a")?, [None, None]);
    assert_eq!(csv(table.column_optional_f32("b")), (2, "a finite f32"));
    Ok(())
}

#[test]
fn comments_and_lines_to_skip_are_passed_by() -> Result<()> {
    let text = "Report of May\nunits: \"m\n# made by hand\na,b # names\n\n   \nm,s\n1,\"#2\"\n  # nothing\n3,4#5\ntotal,6\n";
    let options = TableOptions::new().skip_rows(2).comment(b'#').skip_lines(&[7]).skip_footer(1);
    let table = parse_with(text, &options)?;
    assert_eq!(table.names(), ["a", "b"]);
    assert_eq!(table.column_f32("a")?, [1.0, 3.0]);
    assert_eq!(table.column_str("b")?, ["#2", "4"]);
    // Lines count as in the file.
    assert_eq!(csv(table.column_f32("b")), (8, "a finite f32"));
    // Unless asked for, a hash is a character.
    assert_eq!(parse("#a,b\n#1,2\n")?.column_str("#a")?, ["#1"]);

    for skip in [11, 12, 1000] {
        let all = parse_with(text, &TableOptions::new().skip_rows(skip));
        assert!(matches!(all, Err(Error::Corrupt { .. })), "{all:?}");
    }
    for comment in [b'"', b'\n', b',', 0xc3] {
        let wrong = parse_with("a,b", &TableOptions::new().comment(comment));
        assert!(matches!(wrong, Err(Error::Argument { argument: "comment", .. })), "{comment}: {wrong:?}");
    }
    Ok(())
}

#[test]
fn blank_lines_are_no_rows() -> Result<()> {
    let table = parse(" \t \na,b\n  \n1,2\n\t\n\u{a0}\n3,4\n   ")?;
    assert_eq!((table.len(), table.column_f32("b")?), (2, vec![2.0, 4.0]));
    // A tab that separates fields has one on either side, an empty line none.
    let tabs = parse_with("a\tb\n\t\n \n1\t2\n", &TableOptions::new().delimiter(b'\t'))?;
    assert_eq!(tabs.column_optional_f32("b")?, [None, Some(2.0)]);
    assert_eq!(parse("a\n1\n\"\"\n")?.column_optional_f32("a")?, [Some(1.0), None]);
    Ok(())
}

#[test]
fn names_may_be_given() -> Result<()> {
    let headless = TableOptions::new().header(false).names(&["x", "y"]);
    assert_eq!(parse_with("1,2\n", &headless)?.column_f32("y")?, [2.0]);
    let renamed = parse_with("a,b\n1,2\n", &TableOptions::new().names(&["x", "y"]))?;
    assert_eq!((renamed.names(), renamed.len()), (&["x", "y"].map(String::from)[..], 1));
    let wrong = parse_with("1,2,3\n", &headless);
    assert!(matches!(wrong, Err(Error::Argument { argument: "names", .. })), "{wrong:?}");
    Ok(())
}

#[test]
fn columns_are_chosen_dropped_and_renamed() -> Result<()> {
    let table = parse("a,b,c\n1,2,3\n4,5,6\n")?;
    let chosen = table.clone().columns(["c", "a"])?;
    assert_eq!(
        (chosen.names(), chosen.column_f32("c")?),
        (&["c", "a"].map(String::from)[..], vec![3.0, 6.0])
    );
    assert_eq!(table.clone().columns(&["c".to_owned(), "a".to_owned()])?, chosen);
    assert_eq!(table.clone().drop_columns(["b"])?.columns(["c", "a"])?, chosen);
    let exchanged = table.clone().rename([("a", "b"), ("b", "x")]);
    assert_eq!(exchanged?.column_f32("b")?, [1.0, 4.0]);

    for wrong in [table.clone().columns(["a", "z"]), table.clone().drop_columns(["z"])] {
        assert!(
            matches!(&wrong, Err(Error::Table(TableError::Column { column, .. })) if column == "z"),
            "{wrong:?}"
        );
    }
    let unknown = table.clone().rename([("z", "y")]);
    assert!(matches!(unknown, Err(Error::Table(TableError::Column { .. }))), "{unknown:?}");
    for twice in [table.clone().columns(["a", "a"]), table.clone().rename([("a", "b")])] {
        assert!(matches!(twice, Err(Error::DuplicateName { .. })), "{twice:?}");
    }
    let none = [table.clone().columns::<&str>([]), table.clone().drop_columns(["a", "b", "c"])];
    for wrong in none.into_iter().chain([table.rename([("a", "")])]) {
        assert!(matches!(wrong, Err(Error::Argument { .. })), "{wrong:?}");
    }
    Ok(())
}

#[test]
fn missing_values_are_filled() -> Result<()> {
    let table = parse("a,b,town\n1,NA,Ulm\n,4,?\n4,6,Bonn\n10,NULL,Ulm\nnan,7,Bonn\n")?;
    let filled = |fill: Fill| table.clone().fill_missing([("a", fill)])?.column_f32("a");
    assert_eq!(filled(Fill::Mean)?, [1.0, 5.0, 4.0, 10.0, 5.0]);
    assert_eq!(filled(Fill::Median)?, [1.0, 4.0, 4.0, 10.0, 4.0]);
    assert_eq!(filled(Fill::MostFrequent)?, [1.0, 1.0, 4.0, 10.0, 1.0], "of several, the least");
    assert_eq!(filled(Fill::value(-0.5))?, [1.0, -0.5, 4.0, 10.0, -0.5]);
    // An even number has two in the middle.
    let even = parse("a\n4\n\"\"\n1\n2\n100\n")?.fill_missing([("a", Fill::Median)])?;
    assert_eq!(even.column_f32("a")?, [4.0, 3.0, 1.0, 2.0, 100.0]);
    let towns = table.clone().fill_missing([("town", Fill::MostFrequent)])?;
    assert_eq!(towns.column_str("town")?, ["Ulm", "Bonn", "Bonn", "Ulm", "Bonn"]);
    assert_eq!(towns.column_str("a")?[1], "", "other columns stay");

    // Fitted here, applied to rows with other values.
    let fitted =
        table.fit_missing(Fills::new().column("town", Fill::value("none given")).others(Fill::Mean))?;
    let values: Vec<_> = fitted.iter().map(|(name, fill)| (name.to_owned(), fill.clone())).collect();
    let expected =
        [("town", Fill::value("none given")), ("a", Fill::value(5)), ("b", Fill::value(17.0 / 3.0))];
    assert_eq!(values, expected.map(|(name, fill)| (name.to_owned(), fill)));
    let new = parse("town,b,a\n,,100\nUlm,1,?\n")?.fill_missing(&fitted)?;
    assert_eq!((new.column_f32("a")?, new.column_f32("b")?), (vec![100.0, 5.0], vec![17.0 / 3.0, 1.0]));
    assert_eq!(new.column_str("town")?, ["none given", "Ulm"]);
    // Every column alike: of text there is no median, and it stays.
    let all = table.clone().fill_missing(Fill::Median)?;
    assert_eq!((all.column_f32("b")?[0], all.column_str("town")?[1]), (6.0, "?"));
    assert_eq!(table.clone().fill_missing(Fill::MostFrequent)?.column_str("town")?[1], "Bonn");
    Ok(())
}

#[test]
fn what_cannot_be_filled_is_refused() -> Result<()> {
    let table = parse("a,town\n,Ulm\nNA,\n")?;
    for fill in [Fill::Mean, Fill::Median, Fill::MostFrequent] {
        let wrong = table.fit_missing([("a", fill.clone())]);
        assert!(matches!(wrong, Err(Error::Argument { argument: "fill", .. })), "{wrong:?}");
        assert_eq!(table.clone().fill_missing(fill)?.column_optional_f32("a")?, [None, None]);
    }
    assert_eq!(csv(table.fit_missing([("town", Fill::Mean)])), (2, "a finite f32"));
    let word = table.clone().fill_missing([("town", Fill::value("NULL"))]);
    assert!(matches!(word, Err(Error::Argument { argument: "fill", .. })), "{word:?}");
    assert!(matches!(table.fill_missing([("b", Fill::Mean)]), Err(Error::Table(TableError::Column { .. }))));
    Ok(())
}

/// Names and labels of a table's column as classes.
fn classes_of(fields: &[String]) -> Result<(Vec<u32>, Vec<String>)> {
    let rows: String = fields.iter().map(|field| format!("1,{field}\n")).collect();
    let data = parse(&format!("x,k\n{rows}"))?.to_dataset(&["x"], "k")?;
    Ok((data.labels().to_vec(), data.class_names().unwrap_or_default().to_vec()))
}

#[test]
fn labels_of_many_digits_are_told_apart_however_they_are_written() -> Result<()> {
    let fields = ["9007199254740993", "9007199254740992.0", "9007199254740992", "9007199254740993"];
    let (labels, names) = classes_of(&fields.map(String::from))?;
    assert_eq!(
        (labels, names),
        (vec![1, 0, 0, 1], ["9007199254740992", "9007199254740993"].map(String::from).into())
    );
    // Mixtures of `N` and `N.0` where f64 has one number for several.
    let mut state = 1u64;
    for first in [9_007_199_254_740_992u64, 1_000_000_000_000_000_000] {
        for _ in 0..20 {
            let mut draw = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                state >> 33
            };
            let values: Vec<u64> = (0..400).map(|_| first + draw() % 64).collect();
            let fields: Vec<String> = values
                .iter()
                .map(|v| if draw() % 2 == 0 { format!("{v}.0") } else { v.to_string() })
                .collect();
            let mut distinct = values.clone();
            distinct.sort_unstable();
            distinct.dedup();
            let (labels, names) = classes_of(&fields)?;
            assert_eq!(names, distinct.iter().map(u64::to_string).collect::<Vec<_>>());
            assert!(values.iter().zip(labels).all(|(value, label)| distinct[label as usize] == *value));
        }
    }
    Ok(())
}

#[test]
fn categories_are_compared_by_value_where_all_are_numbers() -> Result<()> {
    for codes in [["1", "1.0", "x", "01"], ["1E2", "100", "1e02", "A3"]] {
        let table = parse(&format!("k\n{}\n", codes.join("\n")))?;
        let categories = table.categories("k")?;
        assert_eq!(categories.len(), 4, "one that is no number makes text of all");
        let hot = table.one_hot("k", &categories)?;
        for (place, code) in codes.iter().enumerate() {
            let mut column = [0.0; 4];
            column[place] = 1.0;
            assert_eq!(hot.column_f32(&format!("k={code}"))?, column, "{code} of {codes:?}");
        }
        // The classes of one table are those of another.
        let rows: String = codes.iter().map(|code| format!("1,{code}\n")).collect();
        let read = || parse(&format!("x,k\n{rows}"));
        let train = read()?.to_dataset(&["x"], "k")?;
        let names = train.class_names().expect("a table gives names");
        assert_eq!(read()?.classes(names).to_dataset(&["x"], "k")?, train);
    }
    // Of numbers, one is a category once.
    let numbers = parse("k\n1.0\n2\n01\n")?;
    let hot = numbers.clone().one_hot("k", &["2.0", "1"])?;
    assert_eq!((hot.column_f32("k=1")?, hot.column_f32("k=2.0")?), (vec![1., 0., 1.], vec![0., 1., 0.]));
    let twice = numbers.one_hot("k", &["1", "2", "1.0"]);
    assert!(matches!(&twice, Err(Error::DuplicateName { name, .. }) if name == "k=1.0"), "{twice:?}");
    Ok(())
}

#[test]
fn missing_numbers_are_known_by_their_values() -> Result<()> {
    let options = TableOptions::new().missing(&["-9999", "unknown"]);
    let table = parse_with("a\n-9999.0\n-9999.00\n-9.999e3\n9999\n-9999.5\nunknown\n-9999\n", &options)?;
    let expected = [None, None, None, Some(9999.0), Some(-9999.5), None, None];
    assert_eq!(table.column_optional_f32("a")?, expected);
    assert_eq!(table.clone().drop_missing(&["a"])?.column_f32("a")?, [9999.0, -9999.5]);
    assert_eq!(table.clone().fill_missing([("a", Fill::value(1))])?.column_f32("a")?[..2], [1.0, 1.0]);
    let same = table.fill_missing([("a", Fill::value("-9999.0"))]);
    assert!(matches!(same, Err(Error::Argument { argument: "fill", .. })), "{same:?}");
    let zero = parse_with("a\n0\n0.0\n-0\n5\n", &TableOptions::new().missing(&["0"]))?;
    assert_eq!(zero.column_optional_f32("a")?, [None, None, None, Some(5.0)]);
    let zero = parse_with("a\n0\n0\n1\n-1\n", &TableOptions::new().missing(&["0"]))?;
    let mean = zero.fill_missing(Fill::Mean);
    assert!(matches!(mean, Err(Error::Argument { argument: "fill", .. })), "a mean may be it too: {mean:?}");
    Ok(())
}

#[test]
fn a_last_column_that_is_named_is_one() -> Result<()> {
    let named = |names: &[&str]| TableOptions::new().names(names);
    let headless = |names: &[&str]| named(names).header(false);
    for text in ["1,2,\n3,4,\n", "1,2,\n3,4\n", "1,2\n3,4,\n", "1,2,,,\n3,4, \n"] {
        let table = parse_with(text, &headless(&["a", "b", "c"]))?;
        assert_eq!(
            (table.column_f32("b")?, table.column_optional_f32("c")?),
            (vec![2.0, 4.0], vec![None; 2])
        );
        assert_eq!(parse_with(text, &headless(&["a", "b"]))?.names(), ["a", "b"], "{text:?}");
    }
    for text in ["a,b,\n1,2,\n3,4,\n", "a,b,\n1,2\n3,4\n", "a,b\n1,2,\n3,4\n"] {
        let table = parse_with(text, &named(&["a", "b", "c"]))?;
        assert_eq!(table.column_optional_f32("c")?, [None, None], "{text:?}");
        assert_eq!(parse_with(text, &named(&["x", "y"]))?.column_f32("y")?, [2.0, 4.0], "{text:?}");
    }
    // Beside an index, and in its place.
    let index = parse_with(",a,b,\n0,1,2,\n", &named(&["a", "b", "c"]))?;
    assert_eq!((index.index(), index.column_optional_f32("c")?), (Some(vec!["0"]), vec![None]));
    let index = parse_with(",a,b,\n0,1,2,\n", &named(&["a", "b"]))?;
    assert_eq!((index.index(), index.column_f32("b")?), (Some(vec!["0"]), vec![2.0]));
    assert_eq!(parse_with(",a,b\n0,1,2\n", &named(&["i", "a", "b"]))?.column_f32("i")?, [0.0]);
    // A row that lacks a field which others have is refused as ever.
    let short = parse_with("1,2,3\n4,5\n", &headless(&["a", "b", "c"]));
    assert!(matches!(short, Err(Error::Table(TableError::Fields { line: 2, .. }))), "{short:?}");
    for names in [&["a"][..], &["a", "b", "c", "d", "e"]] {
        let wrong = parse_with("1,2,\n3,4,\n", &headless(names));
        assert!(matches!(wrong, Err(Error::Argument { argument: "names", .. })), "{wrong:?}");
    }
    Ok(())
}

#[test]
fn fitted_values_fill_the_columns_that_there_are() -> Result<()> {
    let train = parse("a,price\n1,5\n,7\n3,9\n")?;
    let new = || parse("a\n\"\"\n?\n4\n");
    for fitted in
        [train.fit_missing(Fill::Mean)?, train.fit_missing([("a", Fill::Mean), ("price", Fill::Median)])?]
    {
        assert_eq!(fitted.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "price"]);
        assert_eq!(new()?.fill_missing(&fitted)?.column_f32("a")?, [2.0, 2.0, 4.0]);
        assert_eq!(parse("price\n?\n")?.fill_missing(&fitted)?.column_f32("price")?, [7.0]);
        // One that the program names must be there.
        let named = fitted.clone().column("price", Fill::value(0));
        let wrong = new()?.fill_missing(&named);
        assert!(matches!(wrong, Err(Error::Table(TableError::Column { .. }))), "{wrong:?}");
    }
    Ok(())
}
