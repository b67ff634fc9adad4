//! Events of TensorBoard in protobuf, each field by its number (`event.proto` and `summary.proto` of TensorFlow,
//! `plugin_data.proto` and `api.proto` of TensorBoard's plugin `hparams`), and the frame of a record with its masked CRC-32C
//! (`record_writer.h`). Writes no file.

use crate::store::format::checksum::crc32c;

/// A hyperparameter's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Flag(bool),
    Text(String),
}

/// A record: length, its masked CRC, data, its masked CRC.
pub(super) fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let masked = |bytes: &[u8]| crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    [&length[..], &masked(&length), data, &masked(data)].concat()
}

/// `Event { wall_time = 1, file_version = 3 }`.
pub(super) fn version(wall_time: f64) -> Vec<u8> {
    [double(1, wall_time), bytes(3, b"brain.Event:2")].concat()
}

/// `Event { wall_time = 1, step = 2, session_log = 7: SessionLog { status = 1: START = 1 } }`.
pub(super) fn start(wall_time: f64, step: u64) -> Vec<u8> {
    [double(1, wall_time), number(2, step), bytes(7, &number(1, 1))].concat()
}

/// `Event { wall_time = 1, step = 2, summary = 5: Summary { value = 1: Value { tag = 1, simple_value = 2 } } }`.
pub(super) fn scalars(wall_time: f64, step: u64, scalars: &[(String, f64)]) -> Vec<u8> {
    let value = |(tag, value): &(String, f64)| {
        let value = [&[2 << 3 | 5][..], &(*value as f32).to_le_bytes()].concat();
        bytes(1, &[bytes(1, tag.as_bytes()), value].concat())
    };
    let summary: Vec<u8> = scalars.iter().flat_map(value).collect();
    [double(1, wall_time), number(2, step), bytes(5, &summary)].concat()
}

/// What hyperparameters there are, and by which figures runs are compared: `HParamsPluginData { experiment = 2: Experiment {
/// hparam_infos = 4: HParamInfo { name = 1, type = 4 }, metric_infos = 5: MetricInfo { name = 1: MetricName { tag = 2 } } } }`.
pub(super) fn experiment(wall_time: f64, hparams: &[(String, Value)], tags: &[&str]) -> Vec<u8> {
    let hparam = |(name, value): &(String, Value)| {
        let kind = match value {
            Value::Text(_) => 1,
            Value::Flag(_) => 2,
            Value::Number(_) => 3,
        };
        bytes(4, &[bytes(1, name.as_bytes()), number(4, kind)].concat())
    };
    let hparams = hparams.iter().flat_map(hparam);
    let metrics = tags.iter().flat_map(|tag| bytes(5, &bytes(1, &bytes(2, tag.as_bytes()))));
    of_hparams(wall_time, "_hparams_/experiment", &bytes(2, &hparams.chain(metrics).collect::<Vec<_>>()))
}

/// With what a run begins: `HParamsPluginData { session_start_info = 3: SessionStartInfo { hparams = 1: { key = 1, value =
/// 2: google.protobuf.Value { number_value = 2, string_value = 3, bool_value = 4 } }, start_time_secs = 5 } }`.
pub(super) fn session_start(wall_time: f64, hparams: &[(String, Value)]) -> Vec<u8> {
    let entry = |(key, value): &(String, Value)| {
        let value = match value {
            Value::Number(value) => double(2, *value),
            Value::Text(text) => bytes(3, text.as_bytes()),
            Value::Flag(flag) => number(4, u64::from(*flag)),
        };
        bytes(1, &[bytes(1, key.as_bytes()), bytes(2, &value)].concat())
    };
    let hparams: Vec<u8> = hparams.iter().flat_map(entry).collect();
    of_hparams(wall_time, "_hparams_/session_start_info", &bytes(3, &[hparams, double(5, wall_time)].concat()))
}

/// That a run is over: `HParamsPluginData { session_end_info = 4: SessionEndInfo { status = 1: STATUS_SUCCESS = 1,
/// end_time_secs = 2 } }`.
pub(super) fn session_end(wall_time: f64) -> Vec<u8> {
    let end = [number(1, 1), double(2, wall_time)].concat();
    of_hparams(wall_time, "_hparams_/session_end_info", &bytes(4, &end))
}

/// `Event { wall_time = 1, summary = 5: Summary { value = 1: Value { tag = 1, tensor = 8, metadata = 9: SummaryMetadata {
/// plugin_data = 1: PluginData { plugin_name = 1, content = 2 } } } } }`.
fn of_hparams(wall_time: f64, tag: &str, content: &[u8]) -> Vec<u8> {
    let plugin = bytes(1, &[bytes(1, b"hparams"), bytes(2, content)].concat());
    // What it tells is in the metadata: `TensorProto { dtype = 1: DT_FLOAT = 1, tensor_shape = 2: { dim = 2: {} } }`.
    let nothing = [number(1, 1), bytes(2, &bytes(2, b""))].concat();
    let value = [bytes(1, tag.as_bytes()), bytes(8, &nothing), bytes(9, &plugin)].concat();
    [double(1, wall_time), bytes(5, &bytes(1, &value))].concat()
}

fn double(field: u8, value: f64) -> Vec<u8> {
    [&[field << 3 | 1][..], &value.to_le_bytes()].concat()
}

fn number(field: u8, value: u64) -> Vec<u8> {
    [&[field << 3][..], &varint(value)].concat()
}

fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    [&[field << 3 | 2][..], &varint(value.len() as u64), value].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_framed_as_tfrecord_has_them() {
        // The masked CRC-32C of eight zero bytes and of no bytes, computed with TensorFlow's own masked_crc32c.
        assert_eq!(framed(b""), [&[0; 8][..], &[0x29, 0x03, 0x98, 0x07], &[0xd8, 0xea, 0x82, 0xa2]].concat());
    }

    #[test]
    fn an_event_holds_its_step_and_scalars() {
        let event = scalars(1.5, 300, &[("val/loss".to_owned(), 0.25)]);
        let mut expected = vec![0x09];
        expected.extend(1.5_f64.to_le_bytes());
        expected.extend([0x10, 0xac, 0x02, 0x2a, 0x11, 0x0a, 0x0f, 0x0a, 0x08]);
        expected.extend(b"val/loss");
        expected.push(0x15);
        expected.extend(0.25_f32.to_le_bytes());
        assert_eq!(event, expected);
    }

    #[test]
    fn hyperparameters_have_the_bytes_that_tensorboards_own_writer_gives_them() {
        // Event(wall_time=1.5, ...).SerializeToString() of tensorboard 2.20.
        let hparams = [
            ("lr".to_owned(), Value::Number(0.5)),
            ("flip".to_owned(), Value::Flag(true)),
            ("model".to_owned(), Value::Text("base-cnn".to_owned())),
        ];
        for (event, expected) in [
            (experiment(1.5, &hparams, &["val/loss"]), GOLDEN_EXPERIMENT),
            (session_start(1.5, &hparams), GOLDEN_START),
            (session_end(1.5), GOLDEN_END),
        ] {
            let hex: String = event.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, expected);
        }
    }

    const GOLDEN_EXPERIMENT: &str = "09000000000000f83f2a5c0a5a0a145f68706172616d735f2f6578706572696d656e7442060801120212004a3a0a380a0768\
         706172616d73122d122b22060a026c72200322080a04666c6970200222090a056d6f64656c20012a0c0a0a120876616c2f6c\
         6f7373";
    const GOLDEN_START: &str = "09000000000000f83f2a740a720a1c5f68706172616d735f2f73657373696f6e5f73746172745f696e666f42060801120212\
         004a4a0a480a0768706172616d73123d1a3b0a0f0a026c72120911000000000000e03f0a0a0a04666c6970120220010a130a\
         056d6f64656c120a1a08626173652d636e6e29000000000000f83f";
    const GOLDEN_END: &str = "09000000000000f83f2a420a400a1a5f68706172616d735f2f73657373696f6e5f656e645f696e666f42060801120212004a\
         1a0a180a0768706172616d73120d220b080111000000000000f83f";
}
