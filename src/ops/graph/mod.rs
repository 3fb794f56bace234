//! The methods of [`Graph`](crate::Graph) that record the operators of all families, a file for each group
//! that its documentation has. Those that a table of rows makes are beside the table.

// In the order of that documentation.
mod choices;

mod shapes;

mod products;

mod networks;

mod losses;

mod states;
