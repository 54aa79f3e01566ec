mod backend;
mod restart;
mod scene;
mod ways;
