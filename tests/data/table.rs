//! Tables in CSV: what is read, what it becomes, and what is said about lines and columns that are not what
//! they should be.

use std::path::Path;

use crate::folder::Folder;
use retape::data::{Samples, Table, TableOptions};
use retape::{Error, Result, Shape, TableError};

fn parse(text: &str) -> Result<Table> {
    Table::parse("test.csv", text.as_bytes())
}

/// Line, column, value and what was expected of an [`TableError::Field`].
fn csv<T: std::fmt::Debug>(result: Result<T>) -> (u64, String, String, &'static str) {
    match result {
        Err(Error::Table(TableError::Field { path, line, column, value, expected })) => {
            assert_eq!(path, Path::new("test.csv"));
            (line, column, value, expected)
        }
        other => panic!("TableError::Field expected, {other:?} found"),
    }
}

fn corrupt(text: &[u8]) -> String {
    match Table::parse("test.csv", text) {
        Err(Error::Corrupt { path, message }) => {
            assert_eq!(path, Path::new("test.csv"));
            message
        }
        other => panic!("Error::Corrupt expected, {other:?} found"),
    }
}

#[test]
fn a_file_is_read_by_columns() -> Result<()> {
    let folder = Folder::new();
    let path =
        folder.write("wine.csv", b"\xef\xbb\xbfsugar, acid ,kind\r\n1.5,-2e-1,red\r\n\r\n 3 ,4,white\r\n");
    let table = Table::read(&path)?;
    assert_eq!((table.names(), table.len()), (&["sugar", "acid", "kind"].map(String::from)[..], 2));
    assert_eq!(table.column_f32("sugar")?, [1.5, 3.0]);
    assert_eq!(table.column_f32("acid")?, [-0.2, 4.0]);
    assert_eq!(table.column_str("kind")?, ["red", "white"]);
    let nowhere = folder.0.join("nothing.csv");
    assert!(matches!(Table::read(&nowhere), Err(Error::Io { path, .. }) if path == nowhere));
    Ok(())
}

#[test]
fn line_ends_do_not_matter() -> Result<()> {
    let plain = parse("a,b\n1,2\n3,4")?;
    for text in ["a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4\r", "\n\na,b\n\n1,2\n3,4\n\n\n"] {
        let table = parse(text)?;
        assert_eq!(table.names(), plain.names());
        assert_eq!([table.column_f32("a")?, table.column_f32("b")?], [[1.0, 3.0], [2.0, 4.0]], "{text:?}");
    }
    Ok(())
}

#[test]
fn quotes_protect_delimiters_and_line_ends() -> Result<()> {
    let table = parse("name,\"a, b\"\n\"say \"\"so\"\"\",1\n\"two\nlines\",2\n\"\",3\n")?;
    assert_eq!(table.column_str("name")?, ["say \"so\"", "two\nlines", ""]);
    assert_eq!(table.column_f32("a, b")?, [1.0, 2.0, 3.0]);
    for text in ["a,b\n1,\"2\n3,4\n", "a,b\n1,\"2", "a\n\"", "\"a", "a\n\"b\n\n", "a,b\n1,2\n\"\"\""] {
        let message = corrupt(text.as_bytes());
        assert!(message.contains("opens a quote that is not closed"), "{text:?}: {message}");
    }
    assert!(corrupt(b"a,b\n1,2\n3,\"4\n5,6\n").contains("the record on line 3"));
    Ok(())
}

#[test]
fn delimiters_headers_and_missing_values_are_options() -> Result<()> {
    let options = TableOptions::new().delimiter(b'\t').header(false).missing(&["?", "-9999"]);
    let table = Table::parse_with("test.csv", "1\t?\n2\t5\n-9999\t6".as_bytes(), &options)?;
    assert_eq!(table.names(), ["0", "1"]);
    assert_eq!(table.column_optional_f32("0")?, [Some(1.0), Some(2.0), None]);
    assert_eq!(table.column_optional_f32("1")?, [None, Some(5.0), Some(6.0)]);
    assert_eq!(table.clone().drop_missing(&["1"])?.column_str("0")?, ["2", "-9999"]);
    assert_eq!(table.clone().drop_missing(&["0", "1"])?.len(), 1);
    assert_eq!(table.clone().drop_missing(&[])?.len(), 3);
    // Empty is missing only where it is named.
    let table = Table::parse_with("test.csv", "a,b\n,1".as_bytes(), &TableOptions::new().missing(&["?"]))?;
    assert_eq!(csv(table.column_optional_f32("a")).3, "a finite f32");
    for delimiter in [b'"', b'\n', b'\r', 0xe9] {
        let options = TableOptions::new().delimiter(delimiter);
        let wrong = Table::parse_with("test.csv", "a".as_bytes(), &options);
        assert!(matches!(wrong, Err(Error::Argument { argument: "delimiter", .. })), "{delimiter}");
    }
    Ok(())
}

#[test]
fn numbers_are_checked_by_line_and_column() -> Result<()> {
    // A quoted line end and empty lines shift the lines of what follows.
    for end in ["\n", "\r\n", "\r"] {
        let text = ["a,b", "1,\"x", "y\"", "", "2,oops", "", "", "inf,1e39"].join(end);
        let table = parse(&text)?;
        assert_eq!(csv(table.column_f32("b")).0, 2, "{end:?}");
        assert_eq!(csv(table.column_f32("a")), (8, "a".into(), "inf".into(), "a finite f32"), "{end:?}");
    }
    let table = parse("a,b\n1,2\n3,1e39\n")?;
    assert_eq!(csv(table.column_f32("b")), (3, "b".into(), "1e39".into(), "a finite f32"));
    for missing in ["", "NA", "NaN", "nan", "null", "  "] {
        let table = parse(&format!("a,b\n1,2\n{missing},3\n"))?;
        let (line, column, value, expected) = csv(table.column_f32("a"));
        assert_eq!((line, column.as_str(), value.as_str()), (3, "a", missing.trim()));
        assert_eq!(expected, "a number, not a missing value");
        assert_eq!(table.column_optional_f32("a")?, [Some(1.0), None]);
    }
    let message = table.column_f32("b").expect_err("1e39 is no f32").to_string();
    assert_eq!(message, "test.csv, line 3, column `b`: `1e39` found, a finite f32 expected");
    Ok(())
}

#[test]
fn rows_have_a_field_for_each_column() {
    for (text, line, found) in
        [("a,b\n1,2\n3\n", 3, 1), ("a,b\r\n\r\n1,2,3\r\n4,5\r\n", 3, 3), ("a,b\n\"1\n\",2\n3,4,5\n", 4, 3)]
    {
        match parse(text) {
            Err(Error::Table(TableError::Fields { path, line: at, found: fields, expected: 2 })) => {
                assert_eq!(path, Path::new("test.csv"));
                assert_eq!((at, fields), (line, found), "{text:?}");
            }
            other => panic!("TableError::Fields expected, {other:?} found"),
        }
    }
}

#[test]
fn columns_have_names_of_their_own() -> Result<()> {
    let (line, _, value, expected) = csv(parse("\na,b,a\n1,2,3\n"));
    assert_eq!((line, value.as_str(), expected), (2, "a", "a name that no other column has"));
    assert_eq!(csv(parse("a,,b\n1,2,3\n")).3, "the name of the column");
    match parse("a,b\n1,2")?.column_f32("c") {
        Err(Error::Table(TableError::Column { path, column, known })) => {
            assert_eq!((path.as_path(), column.as_str()), (Path::new("test.csv"), "c"));
            assert_eq!(known, ["a", "b"]);
        }
        other => panic!("TableError::Column expected, {other:?} found"),
    }
    let table = parse("a,b\n1,2")?;
    assert!(matches!(table.column_str("A"), Err(Error::Table(TableError::Column { .. }))));
    assert!(matches!(table.to_dataset(&["a"], "c"), Err(Error::Table(TableError::Column { .. }))));
    assert!(matches!(table.drop_missing(&["c"]), Err(Error::Table(TableError::Column { .. }))));
    Ok(())
}

#[test]
fn what_is_no_table_is_refused() {
    for text in [&b""[..], b"\n\r\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"] {
        assert_eq!(corrupt(text), "it is empty", "{text:?}");
    }
    assert_eq!(corrupt(b"a,b\n1,\xff\n"), "it is not UTF-8: byte 6, on line 2, is 0xff");
    // UTF-16, as some spreadsheets write it.
    assert!(corrupt(b"\xff\xfea\0,\0b\0").contains("byte 0, on line 1, is 0xff"));
}

#[test]
fn labels_become_classes_in_order() -> Result<()> {
    let table = parse("x,y,kind,number\n1,2,pear,10\n3,4,apple,9\n5,6,pear,-1\n7,8,fig,09\n")?;
    let data = table.to_dataset(&["y", "x"], "kind")?;
    assert_eq!(data.input_shape(), Shape::from([2]));
    assert_eq!(data.inputs(), [2.0, 1.0, 4.0, 3.0, 6.0, 5.0, 8.0, 7.0]);
    assert_eq!((data.labels(), data.classes()), (&[2, 0, 2, 1][..], 3));
    assert_eq!(data.class_names().expect("a table gives names"), ["apple", "fig", "pear"]);

    // Integers are ordered as numbers, and 9 and 09 are one.
    let data = table.to_dataset(&["x"], "number")?;
    assert_eq!(data.labels(), [2, 1, 0, 1]);
    assert_eq!(data.class_names().expect("a table gives names"), ["-1", "9", "10"]);

    // One that is no integer makes strings of all.
    let data = parse("x,k\n1,10\n2,9\n3,b\n")?.to_dataset(&["x"], "k")?;
    assert_eq!(data.class_names().expect("a table gives names"), ["10", "9", "b"]);
    let (line, column, _, expected) = csv(parse("x,k\n1,a\n2,\n")?.to_dataset(&["x"], "k"));
    assert_eq!((line, column.as_str(), expected), (3, "k", "a label"));
    assert_eq!(csv(parse("x,k\n1,a\nz,b\n")?.to_dataset(&["x"], "k")).1, "x");
    Ok(())
}

#[test]
fn rows_without_a_target_are_samples() -> Result<()> {
    let table = parse("a,b\n1,2\n4,5\n")?;
    let samples = table.to_inputs(&["b", "a"])?;
    samples.check()?;
    assert_eq!(samples, Samples::new().input([2], vec![2.0f32, 1.0, 5.0, 4.0]));
    assert!(matches!(table.to_inputs(&[]), Err(Error::Argument { argument: "features", .. })));
    assert!(matches!(parse("a,b\n")?.to_inputs(&["a"]), Err(Error::NoSamples { .. })));
    Ok(())
}

#[test]
fn texts_become_columns_of_ones_and_zeros() -> Result<()> {
    let train = parse("x,town\n1,Ulm\n2,Bonn\n3,Ulm\n")?;
    let towns = train.categories("town")?;
    assert_eq!(towns, ["Bonn", "Ulm"]);
    let features = ["x", "town=Bonn", "town=Ulm"];
    let samples = train.clone().one_hot("town", &towns)?.to_inputs(&features)?;
    let expected = [1.0f32, 0.0, 1.0, 2.0, 1.0, 0.0, 3.0, 0.0, 1.0];
    assert_eq!(samples.inputs[0].data.as_f32(), Some(&expected[..]));

    // New rows have the columns of the training, whichever towns are among them.
    let new = parse("town,x\nBonn,7\n")?.one_hot("town", &towns)?.to_inputs(&features)?;
    assert_eq!(new.inputs[0].data.as_f32(), Some(&[7.0, 1.0, 0.0][..]));
    let (line, column, value, expected) = csv(parse("town\nBonn\nKiel\n")?.one_hot("town", &towns));
    assert_eq!((line, column.as_str(), value.as_str()), (3, "town", "Kiel"));
    assert_eq!(expected, "one of the categories");
    assert_eq!(csv(parse("town,x\nUlm,1\n,2\n")?.categories("town")).3, "a category");
    let twice = train.clone().one_hot("town", &["Ulm", "Bonn", "Ulm"]);
    assert!(matches!(&twice, Err(Error::DuplicateName { name, .. }) if name == "town=Ulm"), "{twice:?}");
    assert!(matches!(train.one_hot("city", &towns), Err(Error::Table(TableError::Column { .. }))));
    Ok(())
}

#[test]
fn numbers_become_targets() -> Result<()> {
    let table = parse("a,b,c\n1,2,3\n4,5,6\n")?;
    let samples = table.to_regression(&["c", "a"], &["b"])?;
    samples.check()?;
    assert_eq!(samples.input_shapes(), [Shape::from([2])]);
    assert_eq!(samples.inputs[0].data.as_f32(), Some(&[3.0, 1.0, 6.0, 4.0][..]));
    let targets = samples.targets.expect("there are targets");
    assert_eq!((targets.shape, targets.data.as_f32()), (Shape::from([1]), Some(&[2.0, 5.0][..])));
    let two = table.to_regression(&["a"], &["b", "c"])?.targets.expect("there are targets");
    assert_eq!((two.shape, two.data.as_f32()), (Shape::from([2]), Some(&[2.0, 3.0, 5.0, 6.0][..])));

    assert!(matches!(table.to_regression(&[], &["b"]), Err(Error::Argument { argument: "features", .. })));
    assert!(matches!(table.to_regression(&["a"], &[]), Err(Error::Argument { argument: "targets", .. })));
    assert!(matches!(table.to_dataset(&[], "b"), Err(Error::Argument { argument: "features", .. })));
    let empty = parse("a,b\n")?;
    assert_eq!((empty.len(), empty.is_empty()), (0, true));
    assert!(matches!(empty.to_dataset(&["a"], "b"), Err(Error::NoSamples { name }) if name == "test.csv"));
    assert!(matches!(empty.to_regression(&["a"], &["b"]), Err(Error::NoSamples { .. })));
    Ok(())
}
