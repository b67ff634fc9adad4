//! Rows as the format writes them, read back, and each lie in them refused.

use super::*;
use crate::csv_table::{from_csv, to_csv};
use proptest::prelude::*;

fn site_row(label: Label, row: u32, crc32c: u32) -> SiteRow {
    SiteRow { id: SiteId::new("HEPG2-08", 1, "B02", 1).unwrap(), label, row, crc32c }
}

#[test]
fn a_site_is_written_in_the_columns_of_the_format() {
    let label = Label {
        dataset: "test".into(),
        population: Population::NegativeControl,
        sirna: "1138".into(),
        class: Some(1138),
    };
    let csv = to_csv(&[site_row(label, 0, 0xab)]);
    let line = "HEPG2-08_1_B02_1,HEPG2-08_1_B02,HEPG2,test,HEPG2-08,1,B02,1,negative_control,1138,1138,\
                HEPG2-08/Plate1,0,000000ab";
    assert_eq!(csv.lines().nth(1), Some(line));
}

#[test]
fn the_other_rows_are_written_in_the_columns_of_the_format() {
    let SiteRow { id, .. } = site_row(Label::unknown(), 0, 0);
    let WellId { plate, well } = id.well.clone();
    let figures = |mean, std, median| PixelStats {
        id: id.clone(),
        channel: 6,
        mean,
        std,
        median,
        min: 0,
        max: 255,
        sum: u64::MAX,
        sum_of_squares: 7,
    };
    let text = "experiment,plate,well,site,channel,mean,std,median,min,max,sum,sum_of_squares\n\
                HEPG2-08,1,B02,1,6,17,0.30000000000000004,0.5,0,255,18446744073709551615,7\n\
                HEPG2-08,1,B02,1,6,0,0.0000001,-0,0,255,18446744073709551615,7\n";
    assert_eq!(to_csv(&[figures(17.0, 0.1 + 0.2, 0.5), figures(0.0, 1e-7, -0.0)]), text);
    let row = |site, reason: &str, file: &str, detail: &str| {
        let [reason, file, detail] = [reason, file, detail].map(str::to_owned);
        Rejected { plate: plate.clone(), well, site, reason, file, detail }
    };
    let text = "experiment,plate,well,site,reason,file,detail\n\
                HEPG2-08,1,B02,,no-images,,\"expected an image, found \"\"none\"\"\"\n\
                HEPG2-08,1,B02,2,empty-file,a b'c,\" \n\"\n";
    let rows =
        [row(None, "no-images", "", "expected an image, found \"none\""), row(Some(2), "empty-file", "a b'c", " \n")];
    assert_eq!(to_csv(&rows), text);
    let counted = HistogramRow { population: Population::Unknown, channel: 1, level: 255, count: 9 };
    assert_eq!(to_csv(&[counted]), "population,channel,level,count\nunknown,1,255,9\n");
    let comoment = ComomentRow { population: Population::Treatment, channel_a: 1, channel_b: 2, sum_of_products: 3 };
    assert_eq!(to_csv(&[comoment]), "population,channel_a,channel_b,sum_of_products\ntreatment,1,2,3\n");
    let unknown = to_csv(&[site_row(Label::unknown(), 1, u32::MAX)]);
    let line = "HEPG2-08_1_B02_1,HEPG2-08_1_B02,HEPG2,,HEPG2-08,1,B02,1,,,,HEPG2-08/Plate1,1,ffffffff";
    assert_eq!(unknown.lines().nth(1), Some(line));
    assert_eq!(to_csv::<Rejected>(&[]), text.lines().next().unwrap().to_owned() + "\n");
}

#[test]
fn each_lie_in_a_site_is_refused() {
    let good = to_csv(&[site_row(Label::unknown(), 3, 1)]);
    assert_eq!(from_csv::<SiteRow>(&good, "x").unwrap()[0].row, 3);
    for (from, to) in [
        ("HEPG2-08_1_B02_1,", "HEPG2-08_1_B02_2,"),
        (",HEPG2,", ",HEP/G2,"),
        (",B02,", ",B2,"),
        (",3,", ",-3,"),
        (",3,", ",,"),
        (",3,", ",99999999999,"),
        ("00000001", "1"),
        ("/Plate1", "/Plate2"),
        ("site_id,", "id,"),
        (",3,00000001\n", "\n"),
    ] {
        assert!(good.contains(from), "{from}");
        assert!(from_csv::<SiteRow>(&good.replacen(from, to, 1), "x").is_err(), "{from} -> {to}");
    }
    assert!(from_csv::<SiteRow>("", "x").is_err());
}

proptest! {
    #[test]
    fn any_text_in_a_row_survives(sirna in "[ -~\n]{0,12}", detail in "\\PC{0,12}", crc: u32) {
        let label = Label { sirna: sirna.into(), class: Some(crc), ..Label::unknown() };
        let row = site_row(label, 0, crc);
        prop_assert_eq!(&from_csv::<SiteRow>(&to_csv(std::slice::from_ref(&row)), "x").unwrap()[0], &row);
        let WellId { plate, well } = row.id.well;
        let rejected = Rejected { plate, well, site: None, reason: "x".into(), file: String::new(), detail };
        prop_assert_eq!(from_csv::<Rejected>(&to_csv(std::slice::from_ref(&rejected)), "x").unwrap(), [rejected]);
    }
}
