//! `best-accuracy.csv` and `best-loss.csv`: what a network says of each well that validates, beside that network. Each row
//! tells its epoch, as a kill may come between the two files.

use serde::{Deserialize, Serialize};

use crate::csv_table::{Figure, to_csv};
use crate::error::Result;
use crate::site::WellId;
use crate::training::evaluate::metrics::WellAnswer;

use super::folder::RunFolder;
use super::metrics_csv::read_if_there;

/// What one network says of one well that validates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerRow {
    /// The epoch after which the network was written.
    pub epoch: u32,
    /// The well.
    pub well_id: WellId,
    /// Its class.
    pub class: u32,
    /// Its sites that were judged.
    pub sites: u64,
    /// The place of its class among those that compete: 1 where the network is right.
    pub rank: usize,
    /// The most probable class and its probability, the mean over the well's sites.
    pub class_1: Option<u32>,
    /// Its probability.
    pub probability_1: Option<Figure>,
    /// The second, where as many compete; and so on.
    pub class_2: Option<u32>,
    /// Its probability.
    pub probability_2: Option<Figure>,
    /// The third.
    pub class_3: Option<u32>,
    /// Its probability.
    pub probability_3: Option<Figure>,
    /// The fourth.
    pub class_4: Option<u32>,
    /// Its probability.
    pub probability_4: Option<Figure>,
    /// The fifth.
    pub class_5: Option<u32>,
    /// Its probability.
    pub probability_5: Option<Figure>,
}

impl AnswerRow {
    /// The classes that it took for the most probable, with their probabilities, from the first.
    pub fn first(&self) -> impl Iterator<Item = (u32, f64)> {
        let all = [
            (self.class_1, self.probability_1),
            (self.class_2, self.probability_2),
            (self.class_3, self.probability_3),
            (self.class_4, self.probability_4),
            (self.class_5, self.probability_5),
        ];
        all.into_iter().filter_map(|(class, probability)| Some((class?, probability?.0)))
    }

    /// What is said after an epoch; `classes` are those of the network's outputs.
    #[must_use]
    pub fn new(epoch: u32, answer: &WellAnswer, classes: &[u32]) -> Self {
        let first = |i: usize| answer.first.get(i).map(|&(output, p)| (classes[output], Figure(p))).unzip();
        let [
            (class_1, probability_1),
            (class_2, probability_2),
            (class_3, probability_3),
            (class_4, probability_4),
            (class_5, probability_5),
        ] = [0, 1, 2, 3, 4].map(first);
        Self {
            epoch,
            well_id: answer.well.clone(),
            class: classes[answer.output],
            sites: answer.n_sites,
            rank: answer.rank + 1,
            class_1,
            probability_1,
            class_2,
            probability_2,
            class_3,
            probability_3,
            class_4,
            probability_4,
            class_5,
            probability_5,
        }
    }
}

impl RunFolder {
    /// The name of the table that stands beside a network.
    #[must_use]
    pub fn answers_of(network: &str) -> String {
        format!("{}.csv", network.strip_suffix(".safetensors").unwrap_or(network))
    }

    /// Writes what a network says of the wells that validate, whole or not at all.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write_answers(&self, network: &str, epoch: u32, wells: &[WellAnswer], classes: &[u32]) -> Result<()> {
        let rows: Vec<AnswerRow> = wells.iter().map(|answer| AnswerRow::new(epoch, answer, classes)).collect();
        self.write(&Self::answers_of(network), to_csv(&rows).as_bytes())
    }

    /// What a network says of the wells that validate; none of a run that has no such table, as those of 0.1.0.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn answers(&self, network: &str) -> Result<Vec<AnswerRow>> {
        read_if_there(&self.file(&Self::answers_of(network)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::run::BEST_ACCURACY;

    #[test]
    fn the_table_stands_beside_its_network_and_has_these_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let well = |name: &str| format!("RPE-01_1_{name}").parse().unwrap();
        let answers = [
            WellAnswer { well: well("B02"), n_sites: 2, output: 1, rank: 0, first: vec![(1, 0.75), (0, 0.25)] },
            WellAnswer {
                well: well("B03"),
                n_sites: 1,
                output: 0,
                rank: 5,
                first: (1..6).map(|output| (output, 0.5 / output as f64)).collect(),
            },
        ];
        let folder = RunFolder::at(dir.path());
        folder.write_answers(BEST_ACCURACY, 3, &answers, &[10, 11, 12, 13, 14, 15]).unwrap();
        let text = std::fs::read_to_string(dir.path().join("best-accuracy.csv")).unwrap();
        let expected = "\
epoch,well_id,class,sites,rank,class_1,probability_1,class_2,probability_2,class_3,probability_3,class_4,probability_4,\
class_5,probability_5
3,RPE-01_1_B02,11,2,1,11,0.75,10,0.25,,,,,,
3,RPE-01_1_B03,10,1,6,11,0.5,12,0.25,13,0.16666666666666666,14,0.125,15,0.1
";
        assert_eq!(text, expected);
    }
}
