//! A Parquet file: compressed columns with types, which DuckDB, Polars, pandas and Spark read without a given schema.
//!
//! Takes rows and the kinds of their columns; gives groups of rows, each written as it is full, so memory is bounded
//! however many rows there are. A kind is known before the first row, so files of several stores and days have equal types.
//! The file does not know the statement that its rows came from.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use rusqlite::types::Value;

use crate::format::Format;
use crate::model::views::Kind;
use crate::report::{Cell, Column};

/// The most rows of a group. DuckDB and others read groups side by side.
const GROUP_ROWS_MAX: usize = 1 << 16;
/// The most bytes of texts in a group that is not yet full.
const GROUP_BYTES_MAX: usize = 64 << 20;

/// A writer of Parquet.
pub(super) struct Parquet<'a> {
    /// The output until the columns are known. Then it belongs to `file`, and this field is `None`.
    out: Option<&'a mut (dyn Write + Send)>,
    kind_of: &'a dyn Fn(&str) -> Kind,
    file: Option<SerializedFileWriter<&'a mut (dyn Write + Send)>>,
    columns: Vec<Values>,
    names: Vec<String>,
    rows: usize,
    bytes: usize,
}

impl<'a> Parquet<'a> {
    /// Makes a writer; `kind_of` gives the kind of a column by its name.
    pub(super) fn new(out: &'a mut (dyn Write + Send), kind_of: &'a dyn Fn(&str) -> Kind) -> Self {
        Self {
            out: Some(out),
            kind_of,
            file: None,
            columns: Vec::new(),
            names: Vec::new(),
            rows: 0,
            bytes: 0,
        }
    }

    fn write_group(&mut self) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = file.next_row_group()?;
        for column in &mut self.columns {
            column.write(&mut group)?;
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

impl Format for Parquet<'_> {
    fn write_columns(&mut self, columns: &[Column]) -> Result<()> {
        self.names = columns.iter().filter_map(|column| column.name.clone()).collect();
        let kinds: Vec<Kind> = self.names.iter().map(|name| (self.kind_of)(name)).collect();
        let fields = self.names.iter().zip(&kinds).map(|(name, kind)| Ok(Arc::new(describe(name, *kind)?)));
        let fields = fields.collect::<Result<Vec<_>>>()?;
        let schema = Arc::new(Type::group_type_builder("row").with_fields(fields).build()?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("monitor ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let out = self.out.take().context("the columns of a file are written once")?;
        self.file = Some(SerializedFileWriter::new(out, schema, Arc::new(properties))?);
        self.columns = kinds.into_iter().map(Values::new).collect();
        Ok(())
    }

    fn write_row(&mut self, cells: &[Cell]) -> Result<()> {
        for ((cell, column), name) in cells.iter().zip(&mut self.columns).zip(&self.names) {
            self.bytes += column.push(&cell.value, name)?;
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS_MAX || self.bytes >= GROUP_BYTES_MAX {
            self.write_group()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.write_group()?;
        if let Some(mut file) = self.file.take() {
            file.finish()?;
        }
        Ok(())
    }
}

/// Describes a column, which may lack values.
fn describe(name: &str, kind: Kind) -> Result<Type> {
    let (physical, logical) = match kind {
        Kind::Integer => (Physical::INT64, None),
        Kind::Moment => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::NANOS))),
        Kind::Real => (Physical::DOUBLE, None),
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Bytes => (Physical::BYTE_ARRAY, None),
    };
    let builder = Type::primitive_type_builder(name, physical);
    Ok(builder.with_logical_type(logical).with_repetition(Repetition::OPTIONAL).build()?)
}

/// The values of a column in a group, and for each row whether there is one.
struct Values {
    data: Data,
    levels: Vec<i16>,
}

enum Data {
    Integers(Vec<i64>),
    Reals(Vec<f64>),
    Texts(Vec<ByteArray>),
    Bytes(Vec<ByteArray>),
}

impl Values {
    fn new(kind: Kind) -> Self {
        let data = match kind {
            Kind::Integer | Kind::Moment => Data::Integers(Vec::new()),
            Kind::Real => Data::Reals(Vec::new()),
            Kind::Text => Data::Texts(Vec::new()),
            Kind::Bytes => Data::Bytes(Vec::new()),
        };
        Self { data, levels: Vec::new() }
    }

    /// Adds a value, and returns its bytes. Fails if the value is of another kind, because it would be lost or changed.
    fn push(&mut self, value: &Value, name: &str) -> Result<usize> {
        self.levels.push(i16::from(*value != Value::Null));
        match (&mut self.data, value) {
            (_, Value::Null) => return Ok(size_of::<i16>()),
            (Data::Integers(all), Value::Integer(number)) => all.push(*number),
            (Data::Reals(all), Value::Real(number)) => all.push(*number),
            #[expect(clippy::cast_precision_loss, reason = "SQLite stores 1.0 in a column of reals as 1")]
            (Data::Reals(all), Value::Integer(number)) => all.push(*number as f64),
            (Data::Texts(all), Value::Text(text)) => {
                all.push(text.as_str().into());
                return Ok(text.len());
            }
            (Data::Bytes(all), Value::Blob(bytes)) => {
                all.push(bytes.clone().into());
                return Ok(bytes.len());
            }
            (data, value) => bail!(
                "the column `{name}` holds {}, but a value of it is {}: leave out such rows with --where, or export csv or jsonl",
                data.describe(),
                describe_value(value)
            ),
        }
        Ok(size_of::<i64>())
    }

    fn write(&mut self, group: &mut SerializedRowGroupWriter<'_, &mut (dyn Write + Send)>) -> Result<()> {
        fn fill<T: DataType>(
            group: &mut SerializedRowGroupWriter<'_, &mut (dyn Write + Send)>,
            values: &mut Vec<T::T>,
            levels: &[i16],
        ) -> Result<()> {
            let mut column = group.next_column()?.context("a group has as many columns as the file")?;
            column.typed::<T>().write_batch(values, Some(levels), None)?;
            column.close()?;
            values.clear();
            Ok(())
        }
        match &mut self.data {
            Data::Integers(values) => fill::<Int64Type>(group, values, &self.levels)?,
            Data::Reals(values) => fill::<DoubleType>(group, values, &self.levels)?,
            Data::Texts(values) | Data::Bytes(values) => fill::<ByteArrayType>(group, values, &self.levels)?,
        }
        self.levels.clear();
        Ok(())
    }
}

impl Data {
    fn describe(&self) -> &'static str {
        match self {
            Self::Integers(_) => "integers",
            Self::Reals(_) => "numbers",
            Self::Texts(_) => "texts",
            Self::Bytes(_) => "bytes",
        }
    }
}

fn describe_value(value: &Value) -> String {
    match value {
        Value::Null => "missing".to_owned(),
        Value::Integer(number) => format!("the integer {number}"),
        Value::Real(number) => format!("the number {number}"),
        Value::Text(text) => {
            let start: String = text.chars().take(40).collect();
            format!("the text `{start}`")
        }
        Value::Blob(bytes) => format!("a blob of {} bytes", bytes.len()),
    }
}
