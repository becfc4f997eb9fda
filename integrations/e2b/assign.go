// SPDX-License-Identifier: GPL-2.0-or-later

package e2b

import (
	"context"
	"fmt"
	"net/http"
	"time"

	weft "weft.example/clients/go"
)

// How long Assign waits for a sandbox that has the name and is going.
const namingTimeout = 10 * time.Second

// Assignment says for whom a claimed slot is.
type Assignment struct {
	// Name is the sandbox's id in E2B's words. weft then takes it wherever it takes an id, and shows it in its log, its events and
	// its tables. "" gives no name.
	Name string
	// Labels are added to the sandbox's.
	Labels map[string]string
}

// Assign gives a claimed slot its name and labels. If another slot of this pool has the name, it loses it: a sandbox that resumes
// may start before the slot of its former life has been given back. A name that a sandbox of somebody else has is an error, and
// the labels are then set all the same.
func (p *Pool) Assign(ctx context.Context, id string, to Assignment) error {
	if _, err := p.find(id); err != nil {
		return err
	}
	labels := map[string]string{labelPool: p.options.Owner}
	for key, value := range to.Labels {
		if _, taken := labels[key]; !taken {
			labels[key] = value
		}
	}
	patch := weft.Patch{Labels: labels}
	if to.Name != "" {
		patch.Name = &to.Name
	}
	naming, cancel := context.WithTimeout(ctx, namingTimeout)
	defer cancel()
	for pause := time.Duration(0); ; pause = pause*2 + firstWait {
		_, err := p.options.Client.Patch(ctx, id, patch)
		if status(err) != http.StatusConflict || to.Name == "" {
			return err
		}
		ours, failed := p.takeName(ctx, to.Name, id)
		if ours && sleep(naming, pause) {
			continue
		}
		if failed != nil {
			err = failed
		}
		patch.Name = nil
		if _, failed := p.options.Client.Patch(ctx, id, patch); failed != nil {
			return failed
		}
		return fmt.Errorf("sandbox %s gets no name: %w", id, err)
	}
}

// takeName takes a name from the sandbox that has it, if that is one of this pool, and says whether the name is free now or will be,
// because that sandbox is going.
func (p *Pool) takeName(ctx context.Context, name, wanted string) (bool, error) {
	holder, err := p.options.Client.Get(ctx, name)
	if status(err) == http.StatusNotFound {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if holder.ID == name || holder.ID == wanted || holder.Labels[labelPool] != p.options.Owner {
		return false, nil
	}
	_, err = p.options.Client.Patch(ctx, holder.ID, weft.Patch{Name: new(string)})
	switch status(err) {
	case http.StatusNotFound, http.StatusConflict: // it went, or goes
		return true, nil
	}
	return err == nil, err
}
