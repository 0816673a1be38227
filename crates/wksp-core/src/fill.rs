//! Setting all bytes of an allocation.

use wksp_treap::Gaddr;

use crate::guard::Guard;
use crate::lock::Party;
use crate::partition::Allocation;
use crate::query::EditError;

impl<P: Party> Guard<'_, '_, P> {
    /// Sets all bytes of the allocation that covers `gaddr` to `value`.
    ///
    /// The lock is held meanwhile, so that nobody frees it under the pen.
    ///
    /// # Crash behaviour
    ///
    /// A process killed inside has set some bytes and not others.
    ///
    /// # Errors
    ///
    /// [`EditError`] changes nothing.
    #[doc(alias = "fd_wksp_memset")]
    pub fn fill(&mut self, gaddr: Gaddr, value: u8) -> Result<Allocation, EditError> {
        let (_, allocation) = self.find(gaddr).ok_or_else(|| self.not_allocated(gaddr))?;
        self.held().check_inside()?;
        // The range lies within the data, so the memory has it.
        match self.workspace().memory.fill(allocation.range, value) {
            Some(()) => Ok(allocation),
            None => Err(self.not_allocated(gaddr).into()),
        }
    }
}
