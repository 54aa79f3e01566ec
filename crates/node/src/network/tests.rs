mod accounts;
mod backend;
mod restart;
mod scene;
mod seat;
mod ways;
