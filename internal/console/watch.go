package console

// watch counts what happens to one name, for the replay that asked for it.
type watch struct {
	name string

	// guarded by the history's mu
	running      int // attempts at work
	handled      int // attempts that completed
	failed       int // attempts that ended in another way
	suppressed   int // duplicates that were answered
	deferred     int // times that a duplicate was told to come again
	ended        int // messages deleted or dead-lettered
	deadLettered int // of these
}

// follow starts to count what happens to name. The caller has to call the
// returned function in the end. It reports false when too many are followed.
func (h *History) follow(name string) (w *watch, unfollow func(), ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watches) >= maxWatches {
		return nil, nil, false
	}
	w = &watch{name: name}
	h.watches[w] = struct{}{}
	return w, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watches, w)
	}, true
}

// read returns w as it is now.
func (h *History) read(w *watch) watch {
	h.mu.Lock()
	defer h.mu.Unlock()
	return *w
}

// tell lets the followers of name count. The caller holds mu.
func (h *History) tell(name string, count func(*watch)) {
	for w := range h.watches {
		if w.name == name {
			count(w)
		}
	}
}
