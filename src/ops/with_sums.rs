//! The gradient of a weight with that of the bias beside it, which sums up one of its operands.

use std::any::Any;
use std::sync::Arc;

use super::common::*;
use super::conv::Conv;
use super::matmul::{Matmul, lower_with_sums};
use super::merged::Kernels;
use super::reduce::sums_all_but;

/// A product that has a gradient as its second operand.
#[derive(Clone, Copy, Debug)]
enum WeightGrad {
    Dense(Matmul),
    Conv(Conv),
}

/// A product with the sums over all but the second axis of its second operand.
#[derive(Clone, Copy, Debug)]
struct WithSums {
    product: WeightGrad,
    /// The inputs of the whole that the product reads.
    inputs: [usize; 2],
    /// The outputs: of the product and of the sums.
    outputs: [usize; 2],
    /// Terms of a sum.
    terms: usize,
}

/// The kernels of a product over operands of these types and of a sum over an operand of the last type, which
/// holds the elements of the product's second one in their order. `inputs` says which inputs of the whole the
/// product reads, and `outputs` which outputs are its own and the sum's.
pub(crate) fn joint_sums(
    product: &dyn Op,
    [a, b, summed]: [TensorType; 3],
    sum: &dyn Op,
    inputs: [usize; 2],
    outputs: [usize; 2],
) -> Option<Arc<dyn Kernels>> {
    let any: &dyn Any = product;
    let last = summed.shape.rank().checked_sub(1)?;
    let (product, terms, fits) = if let Some(&matmul) = any.downcast_ref::<Matmul>() {
        let is_plain = a.shape.rank() == 2 && b.shape.rank() == 2 && !matmul.transpose_b;
        let (product, _) = matmul.resolve(a.shape, b.shape).ok().filter(|_| is_plain)?;
        let fits = summed.shape.dims()[last] == product.n && sums_all_but(sum, summed.shape, last);
        (WeightGrad::Dense(matmul), product.k, fits)
    } else {
        let &conv = any.downcast_ref::<Conv>()?;
        let terms = conv.weight_terms(&[a, b])?;
        (WeightGrad::Conv(conv), terms, summed == b && sums_all_but(sum, b.shape, 1))
    };
    fits.then(|| Arc::new(WithSums { product, inputs, outputs, terms }) as Arc<dyn Kernels>)
}

impl Kernels for WithSums {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<bool> {
        let [x, dy] = self.inputs;
        let types = [cx.inputs[x], cx.inputs[dy]];
        let [dw, sums] = self.outputs;
        let slots = [Slot::Input(x), Slot::Input(dy), Slot::Output(dw), Slot::Output(sums)];
        match self.product {
            WeightGrad::Dense(matmul) => {
                let (product, _) = matmul.resolve(types[0].shape, types[1].shape)?;
                Ok(lower_with_sums(cx, &product, matmul.route, slots))
            }
            WeightGrad::Conv(conv) => conv.lower_with_sums(cx, &types, slots),
        }
    }

    /// Sums are made as the product is.
    fn rebound(&self, cx: &Reference<'_>, bounds: &mut [Vec<f64>]) {
        let dy = cx.inputs[self.inputs[1]];
        let channels = dy.shape.dims()[1];
        let inner: usize = dy.shape.dims()[2..].iter().product();
        let ulps = 2.0 + 0.5 * self.terms as f64;
        let mut bound = vec![0.0; channels];
        for (i, x) in dy.data.iter().enumerate() {
            bound[i / inner % channels] += ulps * EPS * x.abs() + FLUSH;
        }
        bounds[self.outputs[1]] = bound;
    }
}
